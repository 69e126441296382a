"""Copies the image of an apixo callback (standard input) to the bucket; prints by how many bytes memory grew."""

import os
import sys
from pathlib import Path

import boto3

from pixhook.addresses import AddressGuard
from pixhook.aws.images import Images
from pixhook.http import GuardedClient, ImageFetcher
from pixhook.measured import MeasuredImage
from pixhook.providers import PROVIDERS


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))


def main(endpoint: str) -> None:
    """Runs the copy between two looks at the memory; the peak is counted from the first."""
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    images, fetch = Images(s3, os.environ["BUCKET"]), ImageFetcher(GuardedClient(AddressGuard(["127.0.0.1"])))
    (url,) = PROVIDERS["apixo"].parse_callback(sys.stdin.buffer.read()).images
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _memory("VmRSS")
    with fetch(url) as pieces:
        content = MeasuredImage(pieces)
        images.store("images/measured.png", content, content.content_type)
    assert content.size >= 50 * 1024 * 1024
    print(_memory("VmHWM") - before)


if __name__ == "__main__":
    main(sys.argv[1])
