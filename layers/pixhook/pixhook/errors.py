"""Everything that can go wrong, named by whose fault it is.

    PixhookError
    ├── InvalidRequest           the client's request: carries the field at fault
    │   ├── UnsupportedMediaType
    │   ├── PayloadTooLarge
    │   └── KeyReused            an idempotency key that came with another request before
    ├── ScopeMissing             the API key was not made for this
    ├── NotInPlan                the account's plan does not have this
    ├── AccountInactive          the account is suspended or deleted
    ├── OutOfCredits             the account's balance does not cover the price
    ├── TooManyRequests          the account's limits, for now
    │   └── TooManyTasks
    ├── NotFound                 there is no such thing, or it is not the client's
    ├── Deleted                  it was the client's, who has deleted it
    ├── TooLate                  a task that has come too far to be canceled
    ├── TooManyWebhooks          the account has as many webhook endpoints as it may
    ├── AlreadyDone              an operator's request that was done meanwhile
    ├── NotReady                 it exists, but not yet what is asked of it
    ├── CallbackRejected         somebody who is not the provider, or a damaged URL
    ├── ProviderRefused          the provider said no; nothing was bought
    │   └── ProviderInTrouble    for a reason of its own: another provider may take the request
    ├── NotAsked                 we ourselves have not asked a provider; nothing was bought
    ├── ProviderUnclear          the provider may have accepted; nobody may ask again
    ├── UnexpectedPayload        a document that is not what the provider documents
    ├── NotSent                  a request that never left; nothing was bought
    ├── NoAnswer                 a request that left and brought back no answer
    ├── AddressRejected          a URL that must not be followed
    ├── ImageRejected            what a provider gave as an image never will be one, or must not be fetched
    ├── ImageUnavailable         an image that cannot be had now
    ├── NotAnImage               bytes that are none of the images that we take
    ├── TaskUnknown              an outcome for a task that we do not have
    ├── NotConfirmed             a hint that the provider, asked, does not bear out yet
    ├── StoreUnavailable         an AWS service did not do what it was asked
    └── SecretMisconfigured      one of the operator's secrets is not what it has to be

`pixhook.problems` says what each is in HTTP.
"""

from pixhook.model import ErrorCode, Failure


class PixhookError(Exception):
    """Base of all the others; never raised itself."""


class InvalidRequest(PixhookError):
    """The request cannot be taken as it is; the message says why, `field` where, `code` what kind of fault it is."""

    def __init__(self, message: str, field: str | None = None, code: ErrorCode = ErrorCode.INVALID_REQUEST) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class UnsupportedMediaType(InvalidRequest):
    """The body is not `application/json`."""


class PayloadTooLarge(InvalidRequest):
    """The body is larger than a request may be."""


class KeyReused(InvalidRequest):
    """The idempotency key came with another request before."""


class ScopeMissing(PixhookError):
    """The API key was not made for this."""


class NotInPlan(PixhookError):
    """The account's plan does not have this."""


class AccountInactive(PixhookError):
    """The account is suspended or deleted: it buys nothing."""


class OutOfCredits(PixhookError):
    """The account's balance does not cover the price; nothing was taken."""

    def __init__(self, message: str, required: int, balance: int) -> None:
        super().__init__(message)
        self.required = required
        self.balance = balance


class TooManyRequests(PixhookError):
    """The account has made as many requests as it may in this window."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds."""


class TooManyTasks(TooManyRequests):
    """The account has as many tasks under way as it may."""


class NotFound(PixhookError):
    """There is no such thing, or it belongs to another account: the two look the same."""


class Deleted(PixhookError):
    """The client has deleted it."""


class TooManyWebhooks(PixhookError):
    """The account has as many webhook endpoints as it may."""


class TooLate(PixhookError):
    """The task has come too far to be canceled."""


class AlreadyDone(PixhookError):
    """An operator's request with this id was done meanwhile; nothing was done now."""


class NotReady(PixhookError):
    """The task has not come to where what is asked for exists."""


class CallbackRejected(PixhookError):
    """A callback whose URL does not carry our MAC."""


class ProviderRefused(PixhookError):
    """The provider definitely did not accept the request: nothing was bought."""

    def __init__(self, failure: Failure, retry_after: int | None = None, task_id: str | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.retry_after = retry_after
        """Seconds, where the provider names them."""
        self.task_id = task_id
        """The task that it ends, once there is one."""


class ProviderInTrouble(ProviderRefused):
    """It is not the request's fault: our key, the provider's load, or that it was not reached."""


class NotAsked(PixhookError):
    """The provider was not asked: its circuit is open, no time was left, or nobody would look after the task."""


class ProviderUnclear(PixhookError):
    """The provider may have accepted the request: to ask again may buy twice."""


class UnexpectedPayload(PixhookError):
    """A document from a provider that does not have the documented form."""


class NotSent(PixhookError):
    """The request never reached the other side: name, connection or TLS failed."""


class NoAnswer(PixhookError):
    """The request was sent, at least in part, and no whole answer came back."""


class AddressRejected(PixhookError):
    """A URL that is not https, or leads to where the public internet is not; the message says which."""


class ImageRejected(PixhookError):
    """The image will never be stored: a forbidden address, too large, or not an image we take."""


class ImageUnavailable(PixhookError):
    """The image could not be fetched or stored now; later it may."""


class NotAnImage(PixhookError):
    """The bytes are no PNG, JPEG or WebP that says its dimensions."""


class TaskUnknown(PixhookError):
    """An outcome came for a task that is not in the table."""


class NotConfirmed(PixhookError):
    """A callback by an account's URL says that a task has ended; the status read does not say so, or not yet."""


class StoreUnavailable(PixhookError):
    """An AWS service failed or throttled us beyond the SDK's own retries."""


class SecretMisconfigured(PixhookError):
    """A secret is missing, or not the JSON object that it has to be."""
