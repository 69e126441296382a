"""What the template forbids, forbidden by an AWS that enforces it."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.stack import read_template
from tests.e2e.conftest import Gateway

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@pytest.fixture
def s3_of_a_user(gateway: Gateway) -> Callable[[], Any]:
    """A client of S3, by plain http, for somebody who may do all of it."""

    def make() -> Any:
        iam, name = gateway.info.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="everything", PolicyDocument=json.dumps(EVERYTHING))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        session = boto3.Session(
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            region_name=gateway.info.region,
        )
        return session.client("s3", endpoint_url=gateway.info.endpoint_url)

    return make


def test_bucket_with_the_templates_policy_is_not_to_be_had_by_plain_http(
    gateway: Gateway, s3_of_a_user: Callable[[], Any]
) -> None:
    s3, bucket = s3_of_a_user(), f"bucket-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="images/a.png", Body=b"image")
    policy = json.dumps(read_template()["Resources"]["ImagesBucketPolicy"]["Properties"]["PolicyDocument"])
    arn = f"arn:aws:s3:::{bucket}"
    policy = policy.replace("${ImagesBucket.Arn}", arn).replace("ImagesBucket.Arn", arn)

    gateway.info.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)

    for call in (s3.get_object, s3.put_object, s3.delete_object):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(Bucket=bucket, Key="images/a.png")
