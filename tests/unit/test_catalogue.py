"""What each model takes is checked in one place, and a refusal names the field and its limit."""

from collections.abc import Collection
from itertools import combinations
from math import inf
from typing import Any

import pytest

from pixhook.catalogue import MODELS, Model, NativePrice, Offer
from pixhook.errors import InvalidRequest
from pixhook.model import ErrorCode, ImageRequest
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback
from tests.support.builders import a_request, chosen

EVERY_OFFER = [
    pytest.param(offer, id=f"{model}-{offer.provider}") for model in MODELS for offer in MODELS[model].offers
]

LIMITED = Offer(
    provider="apixo",
    native_model="native",
    prompt=range(1, 11),
    references=range(1, 4),
    aspect_ratios={"1:1": "square", "16:9": "wide"},
    resolutions={"1k": "1024", "2k": "2048"},
    defaults={"resolution": "1k"},
)
"""An offer with a limit of each kind."""


def _fitting(**changes: Any) -> ImageRequest:
    return a_request(**{"prompt": "a fox", "images": ("https://cdn.example/a.png",), **changes})


# The catalogue


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_offered_once_by_each_of_its_providers(model: str) -> None:
    makers = [offer.provider for offer in MODELS[model].offers]
    assert makers
    assert len(makers) == len(set(makers))


@pytest.mark.parametrize("model", MODELS)
def test_those_that_call_back_are_preferred_and_among_them_the_cheaper(model: str) -> None:
    ways = list(Callback)  # from the best to the last resort
    for better, worse in combinations(MODELS[model].offers, 2):
        step = ways.index(_callback(worse)) - ways.index(_callback(better))
        assert step >= 0
        if step == 0 and better.native_price and worse.native_price and better.native_price.unit == "USD":
            assert _dollars(better.native_price) <= _dollars(worse.native_price)


def _callback(offer: Offer) -> Callback:
    return PROVIDERS[offer.provider].capabilities.callback


def _dollars(price: NativePrice) -> float:
    return float(price.default or "inf") if price.unit == "USD" else inf


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_resolution_has_its_price_and_the_default_one_that_of_the_model(model: Model) -> None:
    resolutions = {resolution for offer in model.offers for resolution in offer.resolutions}
    assert model.credits_by_resolution.keys() == resolutions
    for offer in model.offers:
        default = offer.defaults.get("resolution")
        assert model.price(a_request(resolution=default)) == model.credits > 0


@pytest.mark.parametrize(("resolution", "price"), [(None, 5), ("1k", 5), ("2k", 8), ("4k", 12)])
def test_price_is_that_of_the_resolution(resolution: str | None, price: int) -> None:
    assert MODELS["nano-banana-2"].price(a_request(resolution=resolution)) == price


@pytest.mark.parametrize("offer", EVERY_OFFER)
def test_every_offer_is_a_registered_providers(offer: Offer) -> None:
    assert offer.provider in PROVIDERS


@pytest.mark.parametrize("offer", EVERY_OFFER)
def test_every_default_is_one_of_its_offers_choices(offer: Offer) -> None:
    filled = offer.fill(a_request())
    for name, value in offer.defaults.items():
        assert getattr(filled, name) == getattr(offer, f"{name}s")[value]


@pytest.mark.parametrize("offer", EVERY_OFFER)
def test_every_offer_can_be_taken_up(offer: Offer) -> None:
    request = a_request(prompt="x" * offer.prompt[0], images=("https://cdn.example/a.png",) * offer.references[0])
    assert not list(offer.faults(request))


# Filling in


def test_what_the_client_leaves_out_is_filled_in_where_the_provider_needs_it() -> None:
    filled = LIMITED.fill(_fitting())
    assert (filled.aspect_ratio, filled.resolution, filled.output_format) == (None, "1024", None)


def test_what_the_client_says_goes_out_in_the_providers_words() -> None:
    filled = LIMITED.fill(_fitting(aspect_ratio="16:9", resolution="2k"))
    assert (filled.aspect_ratio, filled.resolution) == ("wide", "2048")


# Faults


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prompt": "x" * 10},
        {"images": ("https://cdn.example/a.png",) * 3},
        {"aspect_ratio": "16:9", "resolution": "2k"},
        {"web_search": False},
    ],
    ids=str,
)
def test_a_request_within_the_limits_has_no_fault(changes: dict[str, Any]) -> None:
    assert not list(LIMITED.faults(_fitting(**changes)))


@pytest.mark.parametrize(
    ("changes", "field", "limit"),
    [
        ({"prompt": ""}, "prompt", "required"),
        ({"prompt": " \n"}, "prompt", "required"),
        ({"prompt": "x" * 11}, "prompt", "at most 10 characters; this one has 11"),
        ({"images": ()}, "images", "1 to 3 reference images, not 0"),
        ({"images": ("https://cdn.example/a.png",) * 4}, "images", "1 to 3 reference images, not 4"),
        ({"aspect_ratio": "2:1"}, "aspect_ratio", "one of 1:1, 16:9, not '2:1'"),
        ({"aspect_ratio": "square"}, "aspect_ratio", "one of 1:1, 16:9, not 'square'"),
        ({"resolution": ""}, "resolution", "one of 1k, 2k, not ''"),
        ({"output_format": "png"}, "output_format", "no output_format, not 'png'"),
        ({"web_search": True}, "web_search", "cannot search the web"),
    ],
    ids=str,
)
def test_a_fault_names_its_field_and_the_limit(changes: dict[str, Any], field: str, limit: str) -> None:
    (fault,) = LIMITED.faults(_fitting(**changes))
    assert fault.field == field
    assert fault.code == (ErrorCode.INVALID_PROMPT if field == "prompt" else ErrorCode.UNSUPPORTED_OPTION)
    assert limit in str(fault)


@pytest.mark.parametrize(
    ("references", "images", "limit"),
    [(range(1), 1, "no reference images"), (range(5), 5, "at most 4"), (range(1, 2), 0, "exactly 1")],
    ids=str,
)
def test_a_limit_is_said_in_words(references: range, images: int, limit: str) -> None:
    offer = Offer(provider="apixo", native_model="native", prompt=range(1, 11), references=references)
    (fault,) = offer.faults(_fitting(images=("https://cdn.example/a.png",) * images))
    assert limit in str(fault)


@pytest.mark.parametrize("prompt", ["sharper", " "])
def test_a_model_without_a_prompt_says_so(prompt: str) -> None:
    offer = Offer(provider="apixo", native_model="native", prompt=range(1), references=range(1, 2))
    (fault,) = offer.faults(_fitting(prompt=prompt))
    assert "takes no prompt" in str(fault)


# Choosing


BOTH = ("defapi", "apixo")


@pytest.mark.parametrize(
    ("changes", "configured", "provider"),
    [
        ({}, BOTH, "apixo"),
        ({}, ["defapi"], "defapi"),
        ({"provider": "defapi"}, BOTH, "defapi"),
        ({"provider": "apixo"}, BOTH, "apixo"),
        ({"model": "nano-banana", "prompt": "x" * 6_000}, BOTH, "defapi"),
        ({"model": "gpt-image-2", "output_format": "webp"}, BOTH, "defapi"),
        ({"model": "nano-banana-pro"}, BOTH, "defapi"),
        ({"provider": "defapi", "provider_options": {"seed": 1}}, BOTH, "defapi"),
    ],
    ids=str,
)
def test_the_first_offer_that_can_express_the_request_is_chosen(
    changes: dict[str, Any], configured: Collection[str], provider: str
) -> None:
    assert chosen(a_request(**changes), configured).provider == provider


@pytest.mark.parametrize(
    ("changes", "configured", "field", "words"),
    [
        ({"model": "dall-e-9"}, BOTH, "model", ["no model 'dall-e-9'", *MODELS]),
        ({}, [], "model", ["no provider of it is set up"]),
        ({"model": "nano-banana-pro"}, ["apixo"], "model", ["no provider of it is set up"]),
        ({"provider": "defapi"}, ["apixo"], "provider", ["not on offer from 'defapi'", "from apixo"]),
        ({"provider": "dall-e"}, BOTH, "provider", ["not on offer from 'dall-e'", "from apixo, defapi"]),
        ({"provider_options": {"seed": 1}}, BOTH, "provider", ["name it in provider"]),
        ({"images": ("https://cdn.example/a.png",) * 15}, BOTH, "images", ["at most 14", "at most 4"]),
        ({"provider": "defapi", "aspect_ratio": "1:8"}, BOTH, "aspect_ratio", ["by defapi"]),
    ],
    ids=str,
)
def test_a_request_that_nobody_takes_is_refused_with_each_ones_limit(
    changes: dict[str, Any], configured: Collection[str], field: str, words: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        chosen(a_request(**changes), configured)
    assert refused.value.field == field
    assert all(word in str(refused.value) for word in words)


def test_a_pinned_provider_is_not_replaced_by_one_that_could() -> None:
    with pytest.raises(InvalidRequest) as refused:
        chosen(a_request(provider="defapi", aspect_ratio="auto"), BOTH)
    assert "apixo" not in str(refused.value)
