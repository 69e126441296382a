"""What a simulated provider is: a dialect, as data and pure functions.

1. A provider reads submits and writes documents; it never sends, waits, draws or remembers.
2. The documents of a task follow from its `state` alone: images and failure may both be at hand, because a
   misbehaving delivery may claim either end.
3. Whatever a provider does not accept, it raises as `Refused`; the words of the refusal are its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from local.simulators.fields import first_fault

type Document = dict[str, Any]
type ImageFormat = Literal["png", "jpeg", "webp"]
type ResultShape = Literal["array", "object", "text"]
type State = Literal["pending", "processing", "success", "failed", "unknown"]
"""`unknown` is none of the provider's: it is written in a word that its documents do not have."""

# The long side of a drawn image in pixels, for each resolution a provider may be asked for: small enough to
# be drawn at once, different enough to be told apart.
LONG_SIDES: Mapping[str, int] = {"1k": 512, "2k": 768, "3k": 896, "4k": 1024, "8k": 1280}


@dataclass(frozen=True, slots=True)
class Order:
    """What a submit asked for, in no provider's terms.

    `ratio` is width to height, None where the provider may choose. `callback_url` is None when nobody asked
    for a callback.
    """

    model: str
    prompt: str
    ratio: tuple[int, int] | None = None
    long_side: int = LONG_SIDES["1k"]
    format: ImageFormat = "png"
    count: int = 1
    references: tuple[str, ...] = ()
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed; a provider without codes writes the message alone."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Task:
    """One accepted submit. Times are Unix milliseconds; images are URLs or data URIs."""

    id: str
    provider: str
    order: Order
    created_ms: int
    failure: Failure
    state: State = "pending"
    completed_ms: int = 0
    images: tuple[str, ...] = ()
    shape: ResultShape = "array"


class Refused(Exception):
    """A request that the provider does not accept; without words, it uses those it has for the status."""

    def __init__(self, status: int, message: str | None = None, code: str | None = None) -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code


class Provider(ABC):
    """One provider's dialect.

    Paths are relative to the base URL, which is the simulators' URL, the provider's name and `base_path`.
    `task_field` is the parameter of a status read that holds the task id, in the path or in the query.
    `prompt_at` says where the prompt stands in a submit's body. `retries_s` are the pauses before a callback
    that was not answered by 200 is sent again. `account_callback`: no submit names a callback URL; there is one
    for the whole account, set beforehand. Of `max_reference_bytes` most give no figure.
    """

    name: ClassVar[str]
    api_key: ClassVar[str]
    base_path: ClassVar[str] = ""
    submit_paths: ClassVar[tuple[str, ...]]
    status_path: ClassVar[str]
    task_field: ClassVar[str]
    prompt_at: ClassVar[tuple[str, ...]]
    retries_s: ClassVar[tuple[float, ...]] = ()
    callback_timeout_s: ClassVar[float] = 30
    account_callback: ClassVar[bool] = False
    max_reference_bytes: ClassVar[int] = 100_000_000
    unreadable_reference: ClassVar[Failure]
    sensitive_content: ClassVar[Failure]

    @abstractmethod
    def new_task_id(self) -> str: ...

    @abstractmethod
    def read_submit(self, path: str, params: Mapping[str, str], body: Document) -> Order:
        """The order in a submit to one of `submit_paths`; raises Refused."""

    @abstractmethod
    def accepted(self, task: Task) -> Document: ...

    @abstractmethod
    def status(self, task: Task) -> Document: ...

    @abstractmethod
    def callback(self, task: Task) -> Document: ...

    @abstractmethod
    def refusal(self, refused: Refused, *, reading: bool) -> Document:
        """The body that goes with the refusal's status; `reading` tells status reads from submits."""

    @abstractmethod
    def missing(self, field: str) -> Refused: ...

    def fault(self, error: ValidationError) -> Refused:
        """The refusal of a body that is not as documented."""
        fault = first_fault(error)
        if fault.kind == "missing":
            return self.missing(fault.field)
        reason = "unknown parameter" if fault.kind == "unknown" else fault.reason
        return Refused(400, f"{fault.field}: {reason}")

    def headers(self, status: int, at: float) -> Mapping[str, str]:
        """What goes with each response beside its body; `at` is in Unix seconds."""
        del status, at
        return {}
