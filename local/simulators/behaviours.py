"""Misbehaviour on request: what a test may ask the simulators to do wrong."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from local.simulators.fields import Strict
from local.simulators.provider import Failure, ImageFormat, ResultShape, State

AnswerStatus = Annotated[int, Field(ge=200, le=599)]
RefusalStatus = Annotated[int, Field(ge=400, le=599)]

type Claim = Literal["success", "failed", "running", "unknown"]
"""What may be said of a task in place of the truth."""

CLAIMED: Mapping[Claim, State] = {
    "success": "success",
    "failed": "failed",
    "running": "processing",
    "unknown": "unknown",
}


class SubmitBehaviour(Strict):
    """How a submit is answered: at most one of `refuse`, `body` and `break`, after `delay_s` seconds.

    `refuse` is an HTTP status: nothing is accepted, and the answer is the provider's own refusal for it, with
    `code` and `message` in their places. `body` is answered verbatim with `status`, and nothing is accepted.

    `break` comes before or after the task is accepted: `reset_*` resets the connection, `hang_*` says nothing for
    `delay_s` seconds (without it: until the client leaves) and then resets it, and `garbage_after` answers 200 with
    an HTML page.
    """

    delay_s: NonNegativeFloat | None = None
    refuse: RefusalStatus | None = None
    code: str | None = None
    message: str | None = None
    body: str | None = None
    status: AnswerStatus = 200
    break_: Literal["reset_before", "hang_before", "reset_after", "hang_after", "garbage_after"] | None = Field(
        default=None, alias="break"
    )

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if sum(answer is not None for answer in (self.refuse, self.body, self.break_)) > 1:
            raise ValueError("at most one of refuse, body and break")
        return self


class Delivery(Strict):
    """One callback, `delay_s` seconds after the task's end or after the delivery before it.

    `outcome` is what it claims, None for the truth. `body` damages it: `truncated` cuts the JSON in half,
    `garbage` sends no JSON at all, `foreign` names another task. `url` `forged` changes the last characters
    of the URL's path.
    """

    delay_s: NonNegativeFloat = 0
    outcome: Claim | None = None
    body: Literal["truncated", "garbage", "foreign"] | None = None
    url: Literal["forged"] | None = None


class CallbackBehaviour(Strict):
    """What is delivered: by default, the truth, once.

    `omit` delivers nothing. `before_answer` awaits the first attempt of each delivery before the submit is
    answered. A delivery that is not answered by 200 is repeated as the provider repeats it, and holds up none
    of those after it.
    """

    omit: bool = False
    before_answer: bool = False
    deliveries: list[Delivery] = Field(default_factory=lambda: [Delivery()])


class ResultFailure(Strict):
    """The failure a task ends with."""

    code: str
    message: str

    def as_failure(self) -> Failure:
        return Failure(self.code, self.message)


class ResultBehaviour(Strict):
    """What the task yields.

    `never`: the task has no end. `images` overrides the count asked for and `format` the format. `inline` gives data
    URIs in place of URLs. `min_bytes` pads each image, which stays valid. `empty` succeeds without an image.
    `result_shape` is the JSON shape of a defapi result.
    """

    never: bool = False
    images: PositiveInt | None = None
    inline: bool = False
    min_bytes: NonNegativeInt = 0
    empty: bool = False
    fail: ResultFailure | None = None
    format: ImageFormat | None = None
    result_shape: ResultShape = "array"


class HostBehaviour(Strict):
    """How the task's files are served.

    In this order: `delay_s` seconds pass; the first `fail_first` reads of each file answer 503; the first `page_first`
    an HTML page; `redirect_to` sends elsewhere, `redirects` to the file itself that many times; `status` is answered
    in place of the file. What remains is served, with another `content_type`, without its length (`chunked`), or up
    to the middle of its declared length (`truncate`).
    """

    delay_s: NonNegativeFloat = 0
    fail_first: NonNegativeInt = 0
    page_first: NonNegativeInt = 0
    redirect_to: str | None = None
    redirects: NonNegativeInt = 0
    status: AnswerStatus | None = None
    content_type: str | None = None
    chunked: bool = False
    truncate: bool = False


class StatusBehaviour(Strict):
    """How the task's status is read: the `first` reads, in turn, are refused with an HTTP status or told a claim."""

    first: tuple[RefusalStatus | Claim, ...] = Field(default=(), strict=False)


class Behaviour(Strict):
    """What goes differently for the submits that it matches, `times` times (None: always).

    None as `provider` or `prompt_contains` matches any.
    """

    provider: str | None = None
    prompt_contains: str | None = None
    times: PositiveInt | None = None
    submit: SubmitBehaviour = SubmitBehaviour()
    status: StatusBehaviour = StatusBehaviour()
    callback: CallbackBehaviour = CallbackBehaviour()
    result: ResultBehaviour = ResultBehaviour()
    host: HostBehaviour = HostBehaviour()

    def matches(self, provider: str, prompt: str) -> bool:
        return self.provider in {None, provider} and (self.prompt_contains or "") in prompt


class Behaviours:
    """The behaviours asked for, in order, each with the number of times that it still applies."""

    def __init__(self) -> None:
        self._left: list[tuple[Behaviour, int | None]] = []

    def add(self, behaviour: Behaviour) -> None:
        self._left.append((behaviour, behaviour.times))

    def take(self, provider: str, prompt: str) -> Behaviour:
        """The first that matches, counted down; the well-behaved one where none does."""
        for index, (behaviour, times) in enumerate(self._left):
            if behaviour.matches(provider, prompt):
                if times == 1:
                    del self._left[index]
                elif times is not None:
                    self._left[index] = (behaviour, times - 1)
                return behaviour
        return Behaviour()

    def clear(self) -> None:
        self._left.clear()
