"""One session, one client per service, and one place where the SDK's exceptions become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pixhook.errors import StoreUnavailable

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
    user_agent_extra="pixhook",
    # Presigned URLs of the older signature are refused by buckets in newer regions.
    signature_version="s3v4",
)


@cache
def _session() -> boto3.Session:
    return boto3.Session()


@cache
def client(service: str) -> Any:
    """The one client for `service`; the module that uses it states its type."""
    config = _CONFIG if service == "s3" else _CONFIG.merge(Config(signature_version=None))
    return _session().client(service, config=config)  # type: ignore[call-overload]


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns the SDK's exceptions into ours; `what` says in the log what was tried.

    Raises:
        StoreUnavailable: the service failed, throttled, refused or was not reached.
    """
    try:
        yield
    except ClientError as error:
        raise StoreUnavailable(f"{what}: {error_code(error)}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__}") from error


def error_code(error: ClientError) -> str:
    """The service's own name of the error."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))
