"""Uploads in ImagesBucket: a client puts them there by a form that we sign, and a provider reads them by a URL."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pixhook.aws.clients import error_code, translated
from pixhook.model import Json, UploadedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

PREFIX = "uploads/"
"""Of all uploads; the template deletes them after a while."""

HEAD_BYTES = 1024 * 1024
TAIL_BYTES = 128 * 1024


class Uploads:
    """What clients have uploaded; an account's uploads are found under its own id only."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def form(
        self, account_id: str, upload_id: str, content_type: str, *, most_bytes: int, seconds: int
    ) -> "Mapping[str, Json]":
        """`url` and `fields` of a form that puts one file here; S3 takes no other type, nor more bytes."""
        form = self._s3.generate_presigned_post(
            self._bucket,
            _key(account_id, upload_id),
            Fields={"Content-Type": content_type},
            Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, most_bytes]],
            ExpiresIn=seconds,
        )
        return dict(form)

    def read(self, account_id: str, upload_id: str) -> UploadedFile | None:
        """Both ends of the file, if there is one. Raises `StoreUnavailable`."""
        key = _key(account_id, upload_id)
        with translated("read the upload"):
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{HEAD_BYTES - 1}")
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
            head = found["Body"].read()
            size = int(found["ContentRange"].rpartition("/")[2])
            tail = head
            if size > len(head):
                # The very file that the head is of, should another have been put there meanwhile.
                last = self._s3.get_object(
                    Bucket=self._bucket, Key=key, Range=f"bytes=-{TAIL_BYTES}", IfMatch=found["ETag"]
                )
                tail = last["Body"].read()
        return UploadedFile(size=size, head=head, tail=tail[-TAIL_BYTES:])

    def presign(self, account_id: str, upload_id: str, seconds: int) -> str:
        """A URL that anybody may read the file from for `seconds`."""
        where = {"Bucket": self._bucket, "Key": _key(account_id, upload_id)}
        return self._s3.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds)


def _key(account_id: str, upload_id: str) -> str:
    return f"{PREFIX}{account_id}/{upload_id}"
