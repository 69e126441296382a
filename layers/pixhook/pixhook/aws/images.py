"""ImagesBucket: the images that we own. Objects are private; a client is given a presigned URL."""

from typing import TYPE_CHECKING, Protocol

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig

from pixhook.aws.clients import translated
from pixhook.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# One part at a time in memory, whatever the image's size; the threads are the images, not the parts.
_TRANSFER = TransferConfig(multipart_threshold=5 * 1024**2, multipart_chunksize=5 * 1024**2, use_threads=False)


class Readable(Protocol):
    """A stream of which only reading from the front is asked."""

    def read(self, size: int = -1, /) -> bytes: ...


class Images:
    """Stores and presigns images."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def store(self, key: str, content: Readable, content_type: str) -> None:
        """Copies `content` to `key` as it is read. An error in reading comes out as it is.

        Raises:
            StoreUnavailable: S3 did not take it.
        """
        with translated("store the image"):
            try:
                self._s3.upload_fileobj(
                    content,  # type: ignore[arg-type]  # the stubs ask for a whole file
                    self.bucket,
                    key,
                    ExtraArgs={
                        "ContentType": content_type,
                        "CacheControl": "private, max-age=31536000, immutable",
                    },
                    Config=_TRANSFER,
                )
            except S3UploadFailedError as error:
                raise StoreUnavailable("store the image: upload failed") from error

    def delete_of(self, task_id: str) -> None:
        """Deletes the task's images, and whatever else is kept of what a provider said. Raises `StoreUnavailable`."""
        with translated("delete the images"):
            for folder in ("images", "outcomes"):
                pages = self._s3.get_paginator("list_objects_v2").paginate(
                    Bucket=self.bucket, Prefix=f"{folder}/{task_id}/"
                )
                for page in pages:
                    for found in page.get("Contents", []):
                        self._s3.delete_object(Bucket=self.bucket, Key=found["Key"])

    def presign(self, key: str, filename: str, seconds: int) -> str:
        """A URL that anybody may read the image from for `seconds`."""
        return self._s3.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": key,
                "ResponseContentDisposition": f'inline; filename="{filename}"',
            },
            ExpiresIn=seconds,
        )
