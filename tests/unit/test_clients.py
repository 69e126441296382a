"""The SDK is set up for every region, and gives up in time."""

from urllib.parse import urlsplit

import boto3
import pytest

from pixhook.aws import clients
from pixhook.aws.images import Images


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "eu-south-1", "me-central-1"])
def test_download_goes_to_the_regions_own_host(region: str) -> None:
    """Newer regions refuse the global host name, and elsewhere a redirect from it breaks the signature."""
    s3 = boto3.Session(region_name=region).client("s3", config=clients._S3_CONFIG)
    url = Images(s3, "a-bucket").presign("images/tsk_1/0.png", "0.png", 60)
    expected = "a-bucket.s3.amazonaws.com" if region == "us-east-1" else f"a-bucket.s3.{region}.amazonaws.com"
    assert urlsplit(url).hostname == expected
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
