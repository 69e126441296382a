"""What each error is in HTTP: a problem document (RFC 9457) with a stable `code`. The only place that says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from pixhook import errors
from pixhook.model import Json

CONTENT_TYPE = "application/problem+json"

_ERRORS: Mapping[type[Exception], tuple[HTTPStatus, str, bool]] = {
    errors.UnsupportedMediaType: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", False),
    errors.PayloadTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large", False),
    errors.KeyReused: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", False),
    errors.InvalidRequest: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", False),
    errors.ScopeMissing: (HTTPStatus.FORBIDDEN, "scope_missing", False),
    errors.NotInPlan: (HTTPStatus.FORBIDDEN, "not_in_plan", False),
    errors.AccountInactive: (HTTPStatus.FORBIDDEN, "account_inactive", False),
    errors.OutOfCredits: (HTTPStatus.PAYMENT_REQUIRED, "out_of_credits", False),
    errors.TooManyTasks: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_tasks", True),
    errors.TooManyRequests: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", True),
    errors.NotFound: (HTTPStatus.NOT_FOUND, "not_found", False),
    errors.Deleted: (HTTPStatus.GONE, "deleted", False),
    errors.TooManyWebhooks: (HTTPStatus.CONFLICT, "too_many_webhooks", False),
    errors.NotReady: (HTTPStatus.CONFLICT, "not_ready", True),
    errors.TooLate: (HTTPStatus.CONFLICT, "too_late", False),
    errors.CallbackRejected: (HTTPStatus.UNAUTHORIZED, "callback_rejected", False),
    errors.StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable", True),
    errors.SecretMisconfigured: (HTTPStatus.SERVICE_UNAVAILABLE, "misconfigured", True),
}
"""HTTP status, code, and whether the same request may succeed later."""

# Not to be tried again: where it happened is not known, and after a purchase a second try buys twice.
_UNFORESEEN = (HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", False)

_OPERATORS_OWN = (errors.StoreUnavailable, errors.SecretMisconfigured)
"""Their messages are for the log; the client learns only that it is not its fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as the client sees it."""

    status: HTTPStatus
    document: Mapping[str, Json]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is not the client's, so that the operator should read of it."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def problem(error: Exception) -> Problem:
    """What the client sees of `error`; of one that nobody foresaw, nothing but that it happened."""
    if isinstance(error, errors.ProviderRefused):
        return _refusal(error)
    status, code, is_retryable = next(
        (known for kind, known in _ERRORS.items() if isinstance(error, kind)), _UNFORESEEN
    )
    if status is HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, _OPERATORS_OWN):
        detail = "The request could not be handled now. It is not at fault."
    else:
        detail = str(error)
    extra: dict[str, Json] = {}
    headers: dict[str, str] = {}
    match error:
        case errors.InvalidRequest():
            code = error.code if type(error) is errors.InvalidRequest else code
            extra = {"field": error.field} if error.field else {}
        case errors.OutOfCredits():
            extra = {"required": error.required, "balance": error.balance}
        case errors.TooManyRequests():
            headers = {"retry-after": str(error.retry_after)}
    return Problem(status=status, document=_document(status, code, detail, is_retryable) | extra, headers=headers)


def _refusal(error: errors.ProviderRefused) -> Problem:
    failure = error.failure.for_client()
    is_clients = not failure.code.is_retryable
    status = HTTPStatus.UNPROCESSABLE_ENTITY if is_clients else HTTPStatus.SERVICE_UNAVAILABLE
    extra = {
        "task_id": error.task_id,
        "native_code": failure.native_code,
        "native_message": failure.native_message,
    }
    return Problem(
        status=status,
        document=_document(status, failure.code, failure.message, failure.code.is_retryable)
        | {name: value for name, value in extra.items() if value is not None},
        headers={} if error.retry_after is None else {"retry-after": str(error.retry_after)},
    )


def _document(status: HTTPStatus, code: str, detail: str, is_retryable: bool) -> dict[str, Json]:
    return {
        "type": f"urn:pixhook:problem:{code}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "retryable": is_retryable,
    }
