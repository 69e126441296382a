"""Which models there are, what each costs and takes, and which provider makes it under which name.

A model has a price and offers, the preferred first. An offer is what one provider takes for it, in data; this is
the only place where a request's options are checked, and no adapter repeats any of it. Public values stand on
the left of each mapping, the provider's own on the right.

Sources are the providers' pages named in `docs/providers/<name>.md`; prices in credits are our own (decision 0014).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from reprlib import repr as shortened

from pixhook.errors import InvalidRequest
from pixhook.model import ErrorCode, ImageRequest


def _same(*values: str) -> Mapping[str, str]:
    """Public values that the provider spells alike."""
    return {value: value for value in values}


_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NativePrice:
    """What a provider says it charges for one image, as documented."""

    unit: str
    """`USD`, or `credits`, which are the provider's own."""
    default: str | None = None
    """For a request that names no resolution. Decimal numbers, here and below; None where it is not documented."""
    by_resolution: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one provider takes for one model. An empty mapping: the option cannot be expressed."""

    provider: str
    native_model: str
    prompt: range
    """Admitted lengths, in characters."""
    references: range
    """Admitted numbers of reference images; 0 among them: text-to-image is made."""
    aspect_ratios: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    resolutions: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    output_formats: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    web_search: bool = False
    defaults: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """For options that the provider requires and the client may leave out."""
    native_price: NativePrice | None = None
    """None where it is not documented."""

    def faults(self, request: ImageRequest) -> Iterator[InvalidRequest]:
        """What this offer cannot express of `request`, in the order of the fields."""
        by = f"{request.model} by {self.provider}"
        if len(request.prompt) not in self.prompt or (request.prompt and not request.prompt.strip()):
            fault = _prompt_fault(request.prompt, self.prompt, by)
            yield InvalidRequest(fault, field="prompt", code=ErrorCode.INVALID_PROMPT)
        if len(request.images) not in self.references:
            limits = _limits(self.references)
            yield _unsupported(f"{by} takes {limits} reference images, not {len(request.images)}.", "images")
        for name, choices in (
            ("aspect_ratio", self.aspect_ratios),
            ("resolution", self.resolutions),
            ("output_format", self.output_formats),
        ):
            value = getattr(request, name)
            if value is not None and value not in choices:
                known = f"one of {', '.join(choices)}" if choices else f"no {name}"
                yield _unsupported(f"{by} takes {known}, not {shortened(value)}.", name)
        if request.web_search and not self.web_search:
            yield _unsupported(f"{by} cannot search the web.", "web_search")

    def fill(self, request: ImageRequest) -> ImageRequest:
        """`request` with its options in the provider's words, and what it requires filled in."""
        return replace(
            request,
            aspect_ratio=self._native("aspect_ratio", request.aspect_ratio, self.aspect_ratios),
            resolution=self._native("resolution", request.resolution, self.resolutions),
            output_format=self._native("output_format", request.output_format, self.output_formats),
            web_search=request.web_search if self.web_search else None,
        )

    def _native(self, name: str, value: str | None, choices: Mapping[str, str]) -> str | None:
        chosen = value if value is not None else self.defaults.get(name)
        return None if chosen is None else choices[chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a client asks for by its name."""

    credits: int
    """The price of a request that names no resolution."""
    credits_by_resolution: Mapping[str, int] = field(default_factory=lambda: _FLAT)
    offers: tuple[Offer, ...]
    """The preferred first: those that call back before those that have to be asked, the cheaper before the dearer."""

    def price(self, request: ImageRequest) -> int:
        """What `request` costs, in credits, whoever makes it."""
        return self.credits_by_resolution.get(request.resolution or "", self.credits)


_FLAT: Mapping[str, int] = {}


def _unsupported(message: str, name: str) -> InvalidRequest:
    return InvalidRequest(message, field=name, code=ErrorCode.UNSUPPORTED_OPTION)


def _limits(numbers: range) -> str:
    low, high = numbers[0], numbers[-1]
    if low == high:
        return f"exactly {low}" if low else "no"
    return f"{low} to {high}" if low else f"at most {high}"


def _prompt_fault(prompt: str, lengths: range, by: str) -> str:
    if lengths[-1] == 0:
        return f"{by} takes no prompt."
    if not prompt.strip():
        return "A prompt is required."
    return f"{by} takes a prompt of at most {lengths[-1]} characters; this one has {len(prompt)}."


def _up_to(number: int) -> range:
    return range(number + 1)


def _prompt_up_to(characters: int) -> range:
    return range(1, characters + 1)


_APIXO_NANO_BANANA_2_RATIOS = _same(
    *(
        "auto",
        "1:1",
        "1:4",
        "4:1",
        "1:8",
        "3:2",
        "2:3",
        "3:4",
        "4:3",
        "4:5",
        "5:4",
        "8:1",
        "9:16",
        "16:9",
        "21:9",
    )
)
_COMMON_RATIOS = ("1:1", "16:9", "21:9", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16")
_1K_2K_4K = _same("1k", "2k", "4k")
_BY_SIZE = {"1k": 5, "2k": 8, "4k": 12}
_PNG_JPEG = _same("png", "jpeg")

# Defapi and Gempix2ai state no prompt length: this is the longest that any provider documents for the same models.
_LONGEST_PROMPT = _prompt_up_to(20_000)

# Gempix2 states no number of references: this is the largest that any provider documents for the same model.
_GEMPIX2_REFERENCES = _up_to(14)


def _defapi(native_model: str, *, resolutions: Mapping[str, str] = _NOTHING) -> Offer:
    return Offer(
        provider="defapi",
        native_model=native_model,
        prompt=_LONGEST_PROMPT,
        references=_up_to(4),
        aspect_ratios=_same(*_COMMON_RATIOS),
        resolutions=resolutions,
    )


def _gptimage2api(
    native_model: str,
    *,
    characters: int,
    references: int,
    price: str | None = None,
    price_by_resolution: Mapping[str, str] = _NOTHING,
    aspect_ratios: Mapping[str, str] = _NOTHING,
) -> Offer:
    return Offer(
        provider="gptimage2api",
        native_model=native_model,
        prompt=_prompt_up_to(characters),
        references=_up_to(references),
        aspect_ratios=aspect_ratios,
        native_price=NativePrice(unit="credits", default=price, by_resolution=price_by_resolution),
    )


MODELS: Mapping[str, Model] = {
    "nano-banana-2": Model(
        credits=5,
        credits_by_resolution=_BY_SIZE,
        offers=(
            Offer(
                provider="apixo",
                native_model="nano-banana-2",
                prompt=_prompt_up_to(20_000),
                references=_up_to(14),
                aspect_ratios=_APIXO_NANO_BANANA_2_RATIOS,
                resolutions=_1K_2K_4K,
                output_formats=_PNG_JPEG,
                web_search=True,
                defaults={"aspect_ratio": "auto", "resolution": "1k"},
                native_price=NativePrice(
                    unit="USD", default="0.05", by_resolution={"1k": "0.05", "2k": "0.08", "4k": "0.12"}
                ),
            ),
            _defapi("google/nano-banana-2", resolutions=_1K_2K_4K),
            # It has no model field: the name is ours alone and is never sent.
            Offer(
                provider="gempix2ai",
                native_model="nano-banana-2",
                prompt=_LONGEST_PROMPT,
                references=_up_to(1),
                aspect_ratios=_same("auto", "16:9", "9:16", "1:1"),
            ),
            _gptimage2api(
                "nano-banana-2",
                characters=20_000,
                references=14,
                price_by_resolution={"1k": "4", "2k": "6", "4k": "8"},
            ),
            Offer(
                provider="gempix2",
                # Its API has no model field; this is what its page calls the model.
                native_model="nano-banana-2",
                prompt=_prompt_up_to(2_000),
                references=_GEMPIX2_REFERENCES,
                # Its list of ratios ends in "etc."; these are the ones in it.
                aspect_ratios={"1:1": "1_1", "16:9": "16_9", "9:16": "9_16"},
                output_formats=_PNG_JPEG,
            ),
        ),
    ),
    "nano-banana-pro": Model(
        credits=18,
        credits_by_resolution={"1k": 18, "2k": 18, "4k": 30},
        offers=(
            _defapi("google/nano-banana-pro", resolutions=_1K_2K_4K),
            _gptimage2api(
                "nano-banana-pro", characters=10_000, references=8, price_by_resolution={"2k": "12", "4k": "20"}
            ),
        ),
    ),
    "nano-banana": Model(
        credits=3,
        offers=(
            Offer(
                provider="apixo",
                native_model="nano-banana",
                prompt=_prompt_up_to(5_000),
                references=_up_to(5),
                aspect_ratios=_same("auto", *_COMMON_RATIOS),
                output_formats=_PNG_JPEG,
                defaults={"aspect_ratio": "auto"},
                native_price=NativePrice(unit="USD", default="0.03"),
            ),
            _defapi("google/gempix2"),
            _gptimage2api("google/nano-banana", characters=5_000, references=10, price="3"),
        ),
    ),
    "gemini-2.5-flash-image": Model(
        credits=3,
        offers=(_defapi("google/gemini-2.5-flash-image"),),
    ),
    "gpt-image-2": Model(
        credits=5,
        credits_by_resolution=_BY_SIZE,
        offers=(
            Offer(
                provider="apixo",
                native_model="gpt-image-2",
                prompt=_prompt_up_to(20_000),
                references=_up_to(16),
                aspect_ratios=_same("auto", "1:1", "4:3", "3:4", "16:9", "9:16"),
                resolutions=_1K_2K_4K,
                defaults={"aspect_ratio": "auto", "resolution": "1k"},
            ),
            Offer(
                provider="defapi",
                native_model="openai/gpt-image-2",
                prompt=_LONGEST_PROMPT,
                references=_up_to(4),
                aspect_ratios=_same("auto", *_COMMON_RATIOS),
                output_formats=_same("png", "jpeg", "webp"),
            ),
            _gptimage2api(
                "gpt-image-2",
                characters=20_000,
                references=4,
                price="3",
                aspect_ratios=_same("auto", *_COMMON_RATIOS),
            ),
        ),
    ),
    "gpt-image-1": Model(
        credits=4,
        offers=(
            Offer(
                provider="apixo",
                native_model="gpt-image-1",
                prompt=_prompt_up_to(10_000),
                references=_up_to(5),
                aspect_ratios=_same("1:1", "2:3", "3:2"),
                defaults={"aspect_ratio": "1:1"},
                native_price=NativePrice(unit="USD", default="0.035"),
            ),
        ),
    ),
    "seedream-5-0": Model(
        credits=5,
        credits_by_resolution={"2k": 5, "3k": 8},
        offers=(
            Offer(
                provider="apixo",
                native_model="seedream-5-0",
                prompt=_prompt_up_to(5_000),
                references=_up_to(14),
                aspect_ratios=_same("1:1", "2:3", "3:2", "4:3", "3:4", "9:16", "16:9", "21:9"),
                resolutions={"2k": "2K", "3k": "3K"},
                output_formats=_PNG_JPEG,
                web_search=True,
                defaults={"aspect_ratio": "1:1", "resolution": "2k"},
            ),
        ),
    ),
    "image-upscaler": Model(
        credits=5,
        credits_by_resolution={"2k": 5, "4k": 8, "8k": 12},
        offers=(
            Offer(
                provider="apixo",
                native_model="image-upscaler",
                prompt=range(1),
                references=range(1, 2),
                resolutions=_same("2k", "4k", "8k"),
                output_formats={"jpeg": "jpg", "png": "png", "webp": "webp"},
                defaults={"resolution": "2k"},
            ),
        ),
    ),
}


def candidates(request: ImageRequest, configured: Collection[str]) -> list[Offer]:
    """The offers that can express `request`, the preferred first, among the `configured` providers; at least one.

    Raises:
        InvalidRequest: no provider can; it names the field and, where providers differ, each one's limit.
    """
    if request.provider_options and not request.provider:
        raise InvalidRequest("Provider options are in one provider's words: name it in provider.", field="provider")
    refusals: list[InvalidRequest] = []
    able: list[Offer] = []
    for offer in _offered(request, configured):
        fault = next(offer.faults(request), None)
        if fault is None:
            able.append(offer)
        else:
            refusals.append(fault)
    if able:
        return able
    raise InvalidRequest(" ".join(map(str, refusals)), field=refusals[0].field, code=refusals[0].code)


def _offered(request: ImageRequest, configured: Collection[str]) -> list[Offer]:
    if request.model not in MODELS:
        raise InvalidRequest(
            f"There is no model {shortened(request.model)}; there are {', '.join(MODELS)}.", field="model"
        )
    offers = [offer for offer in MODELS[request.model].offers if offer.provider in configured]
    if not offers:
        raise InvalidRequest(f"{request.model} is not on offer here: no provider of it is set up.", field="model")
    if request.provider is None:
        return offers
    pinned = [offer for offer in offers if offer.provider == request.provider]
    if not pinned:
        makers = ", ".join(offer.provider for offer in offers)
        raise InvalidRequest(
            f"{request.model} is not on offer from {shortened(request.provider)}, but from {makers}.", field="provider"
        )
    return pinned
