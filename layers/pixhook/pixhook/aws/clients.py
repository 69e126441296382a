"""One session, one client per service, and one place where the SDK's exceptions become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pixhook.errors import StoreUnavailable

# All attempts together end before the functions do, so that a service that is silent gets its own answer.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    user_agent_extra="pixhook",
)

_S3_CONFIG = _CONFIG.merge(
    Config(
        read_timeout=20,  # after a part of 5 MiB
        # The older signature and the global host name are refused by buckets in newer regions.
        signature_version="s3v4",
        s3={"addressing_style": "virtual"},
    )
)


@cache
def _session() -> boto3.Session:
    return boto3.Session()


@cache
def client(service: str) -> Any:
    """The one client for `service`; the module that uses it states its type."""
    config = _S3_CONFIG if service == "s3" else _CONFIG
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
