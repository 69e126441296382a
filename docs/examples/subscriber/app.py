"""images.completed -> the order's picture is noted.

An event may come twice, and two tasks of one order may end in any order: the later task wins, whatever comes when.
"""

import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

dynamodb = boto3.client("dynamodb")
table = os.environ["PICTURES_TABLE"]


def handler(event: dict[str, Any], context: object) -> None:
    """Notes where the order's picture is; the bucket is Pixhook's, and private."""
    detail = event["detail"]
    picture = detail["images"][0]
    item = {
        "order": {"S": str(detail["metadata"]["order"])},
        "task_id": {"S": detail["task_id"]},
        "created_at": {"S": detail["created_at"]},
        "bucket": {"S": picture["bucket"]},
        "key": {"S": picture["key"]},
    }
    print(f"order {detail['metadata']['order']}: {picture['key']}")
    try:
        dynamodb.put_item(
            TableName=table,
            Item=item,
            ConditionExpression="attribute_not_exists(created_at) OR created_at <= :created_at",
            ExpressionAttributeValues={":created_at": item["created_at"]},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
