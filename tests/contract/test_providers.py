"""What holds for every provider. What runs comes from the registry, the catalogue and tests/samples: one more
provider adds samples and no test.

The tenth rule, on the events that follow, is in test_published_events.py.
"""

import json
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pixhook import callbacks, providers
from pixhook.catalogue import MODELS, Offer
from pixhook.errors import (
    CallbackRejected,
    InvalidRequest,
    PixhookError,
    ProviderRefused,
    ProviderUnclear,
    UnexpectedPayload,
)
from pixhook.lifecycle import advance
from pixhook.model import (
    Credential,
    ErrorCode,
    Failure,
    HttpRequest,
    ImageRequest,
    Json,
    Outcome,
    OutcomeMessage,
    OutcomeState,
    Status,
)
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Accepted, Callback
from tests.support.builders import TASK_ID, a_task, chosen
from tests.support.samples import SAMPLES, Sample, samples

DOCS = Path(__file__).parents[2] / "docs" / "providers"

API_KEY = "planted-api-key"
CALLBACK_KEYS = ("planted-callback-key-new", "planted-callback-key-old")
BASE_URL = "https://pixhook.example"

REQUESTS = samples("submit_request")
ANSWERS = samples("submit_response")
REPORTS = samples("callback", "status")
DISTINCT = [sample for sample in ANSWERS + REPORTS if not sample.variant]
PAIRS = [
    (callback, status)
    for callback in samples("callback")
    for status in samples("status")
    if (callback.provider, callback.variant) == (status.provider, status.variant)
    and callback.case.removeprefix("callback-") == status.case.removeprefix("status-")
]
OFFERS = [(model, offer) for model in MODELS for offer in MODELS[model].offers]

RAISES: Mapping[str, tuple[type[PixhookError], ...]] = {
    "submit_response": (ProviderRefused, ProviderUnclear),
    "callback": (UnexpectedPayload,),
    "status": (UnexpectedPayload,),
}
"""All that may come out of a parser besides its result."""

each_provider = pytest.mark.parametrize("name", sorted(PROVIDERS))
each_offer = pytest.mark.parametrize(("model", "offer"), OFFERS, ids=[f"{m}-{offer.provider}" for m, offer in OFFERS])
each_request = pytest.mark.parametrize("sample", REQUESTS, ids=str)
each_distinct_sample = pytest.mark.parametrize("sample", DISTINCT, ids=str)
each_distinct_answer = pytest.mark.parametrize("sample", [s for s in DISTINCT if s.kind != "callback"], ids=str)

_request = TypeAdapter(ImageRequest)
_accepted = TypeAdapter(Accepted)
_outcome = TypeAdapter(Outcome)
_failure = TypeAdapter(Failure)
_message = TypeAdapter(OutcomeMessage)


def said(sample: Sample) -> Accepted | Outcome | PixhookError:
    """What the adapter makes of a sample; what it may raise is an answer too."""
    try:
        return sample.read()
    except RAISES[sample.kind] as answer:
        return answer


def as_written(answer: Accepted | Outcome | PixhookError) -> Json:
    """An answer in the form of a sample's `expected`, which leaves out defaults and our own sentence."""
    match answer:
        case Accepted():
            return _accepted.dump_python(answer, exclude_defaults=True)
        case Outcome():
            written = _outcome.dump_python(answer, mode="json", exclude_defaults=True)
            written.get("failure", {}).pop("message", None)
            return written
        case ProviderRefused(failure=failure, retry_after=seconds):
            refused = _failure.dump_python(failure, mode="json", exclude_defaults=True, exclude={"message"})
            return {"refused": refused | ({} if seconds is None else {"retry_after": seconds})}
        case _:
            return "unclear" if isinstance(answer, ProviderUnclear) else "unexpected"


def gist(expected: Json) -> str:
    """What a sample's `expected` is an example of."""
    match expected:
        case {"refused": {"code": word}} | {"state": word}:
            return str(word)
        case {"ref": _}:
            return "accepted"
        case _:
            return str(expected)


def failure_in(expected: Json) -> dict[str, Json]:
    """The failure or refusal in a sample's `expected`; empty where it is neither."""
    match expected:
        case {"failure": failure} | {"refused": failure}:
            return dict(failure)
        case _:
            return {}


def values(document: Json) -> Iterator[Json]:
    """The document and whatever is in it, at any depth."""
    yield document
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    for value in inner:
        yield from values(value)


def as_text(value: Json) -> str:
    """The value as an adapter's `Text` reads it: a word may be sent as a number."""
    return value if isinstance(value, str) else json.dumps(value)


def callback_url(provider: str) -> str:
    return f"{BASE_URL}/callbacks/{provider}/{TASK_ID}/mac"


def build(request: ImageRequest, provider: str) -> HttpRequest:
    """The submit of a request, as the gateway has it built."""
    return PROVIDERS[provider].build_submit(request, chosen(request, {provider}), callback_url(provider))


def built(sample: Sample) -> HttpRequest:
    return build(_request.validate_json(json.dumps(sample.request)), sample.provider)


def requests_to(name: str) -> list[HttpRequest]:
    """Every kind of request that the provider is sent, without credentials."""
    submits = [built(sample) for sample in REQUESTS if sample.provider == name]
    reads = [
        PROVIDERS[name].build_status_read(offer.native_model, "ref_1") for _, offer in OFFERS if offer.provider == name
    ]
    return submits + reads


# 1. Complete


@each_provider
def test_one_name_finds_everything(name: str) -> None:
    assert PROVIDERS[name].name == name
    assert type(PROVIDERS[name]).__module__ == f"pixhook.providers.{name}"
    assert (SAMPLES / name).is_dir()
    assert (DOCS / f"{name}.md").is_file()


def test_nothing_is_left_out_of_the_registry() -> None:
    modules = {module.name for module in pkgutil.iter_modules(providers.__path__)} - {"base"}
    assert modules == {folder.name for folder in SAMPLES.iterdir() if folder.is_dir()} == set(PROVIDERS)
    assert {offer.provider for _, offer in OFFERS} == set(PROVIDERS)


@each_provider
def test_every_answer_to_a_submit_is_sampled(name: str) -> None:
    sampled = {gist(sample.expected) for sample in ANSWERS if sample.provider == name}
    failures = {"invalid_request", "provider_account", "rate_limited", "provider_unavailable"}
    assert sampled >= {"accepted", "unclear"} | failures


@each_provider
def test_every_report_on_a_task_is_sampled(name: str) -> None:
    demanded = {"running", "succeeded", "failed", "unknown", "unexpected"}
    capabilities = PROVIDERS[name].capabilities
    assert demanded <= {gist(sample.expected) for sample in samples("status") if sample.provider == name}
    assert (PROVIDERS[name].polling is not None) == (capabilities.callback is Callback.NONE)
    if capabilities.callback is not Callback.NONE:
        assert demanded <= {gist(callback.expected) for callback, _ in PAIRS if callback.provider == name}
    outcomes = [s.expected for s in REPORTS if s.provider == name and s.expected != "unexpected"]
    images = [outcome.get("images", []) for outcome in outcomes]
    assert any(len(several) > 1 for several in images) == capabilities.several_images
    assert any(image.startswith("data:") for several in images for image in several) == capabilities.inline_images
    assert any(failure_in(outcome).get("code") == "no_image" for outcome in outcomes)


@each_provider
def test_every_word_of_a_provider_is_sampled(name: str) -> None:
    own = [sample for sample in ANSWERS + REPORTS if sample.provider == name]
    for word, state in PROVIDERS[name].states.items():
        examples = [values(parsed(sample.body)) for sample in own if gist(sample.expected) == state]
        assert any(word in map(as_text, example) for example in examples), word
    for word, code in PROVIDERS[name].refusals.items():
        failures = [failure_in(sample.expected) for sample in own]
        assert any(failure.items() >= {"native_code": word, "code": code}.items() for failure in failures), word


@each_offer
def test_every_offer_has_golden_requests(model: str, offer: Offer) -> None:
    requests = [s.request for s in REQUESTS if (s.provider, s.request["model"]) == (offer.provider, model)]
    takes_text, takes_images = 0 in offer.references, offer.references[-1] > 0
    assert any("images" not in request for request in requests) == takes_text
    assert any("images" in request for request in requests) == takes_images
    offered = {name for name, choices in options(offer).items() if choices}
    given = [offered & request.keys() for request in requests]
    assert set() in given
    assert offered in given


# 2. Golden request


@each_request
def test_request_is_the_stored_one(sample: Sample) -> None:
    assert built(sample) == HttpRequest(**sample.expected, body=sample.body)


@each_request
def test_same_request_is_built_the_same_twice(sample: Sample) -> None:
    assert built(sample) == built(sample)


@each_request
def test_request_carries_the_callback_url(sample: Sample) -> None:
    carries = callback_url(sample.provider) in values(json.loads(built(sample).body))
    assert carries == (PROVIDERS[sample.provider].capabilities.callback is Callback.PER_REQUEST)


@each_provider
def test_request_goes_to_the_documented_base_over_https(name: str) -> None:
    assert PROVIDERS[name].base_url.startswith("https://")
    assert all(request.url.startswith(f"{PROVIDERS[name].base_url}/") for request in requests_to(name))


@each_offer
def test_status_read_names_the_task(model: str, offer: Offer) -> None:
    ref = "a/b?c=d&e#é"
    request = PROVIDERS[offer.provider].build_status_read(offer.native_model, ref)
    assert (request.method, request.body) == ("GET", b"")
    assert quote(ref, safe="") in request.url


@each_provider
def test_authorize_adds_the_key_and_changes_nothing_else(name: str) -> None:
    for request in requests_to(name):
        authorized = PROVIDERS[name].authorize(request, Credential(api_key=API_KEY))
        assert API_KEY in " ".join(authorized.headers.values())
        assert authorized.headers.items() >= request.headers.items()
        assert replace(authorized, headers=request.headers) == request


@each_provider
@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080/sandbox", "http://127.0.0.1:8080/sandbox/"])
def test_authorize_goes_where_the_operator_says(name: str, base_url: str) -> None:
    for request in requests_to(name):
        authorized = PROVIDERS[name].authorize(request, Credential(api_key=API_KEY, base_url=base_url))
        path = request.url.removeprefix(PROVIDERS[name].base_url)
        assert authorized.url == f"http://127.0.0.1:8080/sandbox{path}"


# 3. Golden outcome


@pytest.mark.parametrize("sample", ANSWERS + REPORTS, ids=str)
def test_sample_comes_to_what_is_expected(sample: Sample) -> None:
    assert as_written(said(sample)) == sample.expected


@pytest.mark.parametrize("sample", [s for s in ANSWERS + REPORTS if failure_in(s.expected)], ids=str)
def test_failure_is_told_in_the_words_of_the_provider(sample: Sample) -> None:
    """Save those on the operator's account, which are not for clients."""
    answer = said(sample)
    assert isinstance(answer, Outcome | ProviderRefused)
    failure = answer.failure
    assert failure is not None
    assert failure.message.startswith(sample.provider)
    words = failure.native_message or failure.native_code
    assert not words or (words in failure.message) == (failure.code is not ErrorCode.PROVIDER_ACCOUNT)


# 4. Parity


@pytest.mark.parametrize(("callback", "status"), PAIRS, ids=[f"{callback}" for callback, _ in PAIRS])
def test_callback_and_status_read_agree(callback: Sample, status: Sample) -> None:
    """Save on how far a running task is, of which no callback speaks."""
    heard, read = said(callback), said(status)
    if isinstance(read, Outcome) and read.state is OutcomeState.RUNNING:
        read = replace(read, progress=None, estimated_seconds=None)
    assert heard == read or as_written(heard) == as_written(read) == "unexpected"


# 5. Genuine passes, forged fails


def signed_path(provider: str, task_id: str = TASK_ID, key: str = CALLBACK_KEYS[0]) -> str:
    return callbacks.callback_url(BASE_URL, provider, task_id, [key]).removeprefix(f"{BASE_URL}/callbacks/")


def passes(path: str) -> bool:
    try:
        callbacks.verify(path, CALLBACK_KEYS)
    except CallbackRejected:
        return False
    return True


@each_provider
@pytest.mark.parametrize("key", CALLBACK_KEYS)
def test_genuine_callback_passes_under_every_live_key(name: str, key: str) -> None:
    assert callbacks.verify(signed_path(name, key=key), CALLBACK_KEYS) == (name, TASK_ID)


@each_provider
def test_callback_url_is_signed_with_the_first_key(name: str) -> None:
    url = callbacks.callback_url(f"{BASE_URL}/", name, TASK_ID, CALLBACK_KEYS)
    assert url == f"{BASE_URL}/callbacks/{signed_path(name, key=CALLBACK_KEYS[0])}"


@each_provider
def test_callback_with_one_character_changed_is_rejected(name: str) -> None:
    path = signed_path(name)
    changed = [
        path[:place] + chr(ord(path[place]) ^ 1 << bit) + path[place + 1 :]
        for place in range(len(path))
        for bit in range(8)
    ]
    assert [forged for forged in changed if passes(forged)] == []


@each_provider
def test_callback_cut_short_or_drawn_out_is_rejected(name: str) -> None:
    path = signed_path(name)
    cut = [path[:length] for length in range(len(path))]
    longer = [path + more for more in ("=", "/", "A", " ", "\n", "\0", "é", "\ud800", f"/{path}")]
    assert [forged for forged in cut + longer if passes(forged)] == []


@each_provider
def test_mac_of_something_else_is_rejected(name: str) -> None:
    genuine = signed_path(name).rpartition("/")[2]
    others = [other for other in (*PROVIDERS, "", "another") if other != name]
    forgeries = [
        *(f"{other}/{TASK_ID}/{genuine}" for other in others),
        *(f"{name}/{task_id}/{genuine}" for task_id in ("", f"{TASK_ID}\n", TASK_ID.lower(), "tsk_1", "é", "\ud800")),
        *(f"{name}/{TASK_ID}/{mac}" for mac in ("", "é" * 43, "\ud800", genuine.lower(), genuine + genuine)),
        *(signed_path(name, key=key) for key in ("", "another-key", CALLBACK_KEYS[0].upper())),
    ]
    assert [forged for forged in forgeries if passes(forged)] == []


@settings(deadline=None)
@given(path=st.text(st.characters(exclude_categories=[])))
def test_path_that_nobody_signed_is_rejected(path: str) -> None:
    assert not passes(path)


@each_provider
def test_nothing_passes_without_a_key(name: str) -> None:
    with pytest.raises(CallbackRejected):
        callbacks.verify(signed_path(name), [])


# 6. Total

WORSE: tuple[Json, ...] = (None, True, 0, -1, 1.5, 10**100, float("nan"), "", "word", "\ud800", [], [None], {}, {"": 0})


def damaged(value: Json, substitutes: tuple[Json, ...] = WORSE) -> Iterator[Json]:
    """The value with one thing wrong, at any depth, also inside of JSON that is held as text."""
    yield from substitutes
    match value:
        case dict():
            for name, inner in value.items():
                rest = {other: kept for other, kept in value.items() if other != name}
                yield rest
                yield rest | {"\ud800": inner}
                yield from (value | {name: worse} for worse in damaged(inner, substitutes))
        case list():
            for place, inner in enumerate(value):
                for worse in damaged(inner, substitutes):
                    yield [*value[:place], worse, *value[place + 1 :]]
        case str() if isinstance(held := parsed(value), dict):
            yield from map(json.dumps, damaged(held, substitutes))


def parsed(text: str | bytes) -> Json:
    """The JSON value in a text; None where there is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def damaged_samples(sample: Sample, substitutes: tuple[Json, ...] = WORSE) -> Iterator[Sample]:
    """The sample with each damage to its document in turn."""
    for worse in damaged(parsed(sample.body), substitutes):
        yield replace(sample, body=json.dumps(worse).encode())


def assert_usable(answer: Accepted | Outcome | PixhookError) -> None:
    """It is whole, and can be queued, stored and logged."""
    match answer:
        case Accepted(ref=ref, estimated_seconds=seconds):
            assert ref.encode()
            assert seconds is None or 0 <= seconds <= 3600
        case Outcome():
            ahead = (answer.progress, answer.estimated_seconds)
            assert ahead == (None, None) or answer.state is OutcomeState.RUNNING
            assert all(number is None or type(number) is int for number in ahead)
            assert 0 <= (answer.progress or 0) <= 100
            assert 0 <= (answer.estimated_seconds or 0) <= 3600
            assert bool(answer.images) == (answer.state is OutcomeState.SUCCEEDED)
            assert (answer.failure is not None) == (answer.state is OutcomeState.FAILED)
            assert all(answer.images)
            message = OutcomeMessage(task_id=TASK_ID, provider="any", outcome=answer)
            assert _message.validate_json(_message.dump_json(message)) == message
        case ProviderRefused(failure=failure, retry_after=seconds):
            assert _failure.validate_json(_failure.dump_json(failure)) == failure
            assert seconds is None or seconds >= 0
        case _:
            assert str(answer).encode()


@each_distinct_sample
def test_damaged_document_is_understood_or_unexpected(sample: Sample) -> None:
    for worse in damaged_samples(sample):
        assert_usable(said(worse))


@pytest.mark.parametrize("sample", [s for s in DISTINCT if gist(s.expected) == "succeeded"], ids=str)
def test_image_is_not_lost_over_a_field_that_only_describes(sample: Sample) -> None:
    states, images = PROVIDERS[sample.provider].states, sample.expected["images"]
    # Where one URL serves an account, nothing else says which task a callback is about.
    is_account = PROVIDERS[sample.provider].capabilities.callback is Callback.PER_ACCOUNT
    ref = sample.expected["ref"] if is_account and sample.kind == "callback" else None

    def is_needed(value: Json) -> bool:
        texts = [as_text(inner) for inner in values(value)]
        return any(text == ref or text in states or any(image in text for image in images) for text in texts)

    for worse in described_otherwise(parsed(sample.body), is_needed):
        answer = said(replace(sample, body=json.dumps(worse).encode()))
        assert isinstance(answer, Outcome), worse
        assert [*answer.images] == sample.expected["images"], worse


def described_otherwise(value: Json, is_needed: Callable[[Json], bool]) -> Iterator[Json]:
    """The value with another type, or nothing, in each place that says neither the state nor where an image is."""
    match value:
        case dict():
            for name, inner in value.items():
                if not is_needed(inner):
                    yield {other: kept for other, kept in value.items() if other != name}
                yield from (value | {name: worse} for worse in described_otherwise(inner, is_needed))
        case list():
            for place, inner in enumerate(value):
                for worse in described_otherwise(inner, is_needed):
                    yield [*value[:place], worse, *value[place + 1 :]]
        case _ if not is_needed(value):
            yield from (7, 1.5, True, None, "word", ["word"], {"word": 7})


@each_distinct_sample
def test_truncated_body_is_understood_or_unexpected(sample: Sample) -> None:
    for length in range(len(sample.body)):
        assert_usable(said(replace(sample, body=sample.body[:length])))


@each_distinct_answer
def test_any_http_status_is_understood(sample: Sample) -> None:
    for status in range(100, 1000):
        assert_usable(said(replace(sample, status=status)))


@each_distinct_answer
@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "²", pytest.param("9" * 5000, id="endless")]
)
def test_any_retry_after_is_understood(sample: Sample, value: str) -> None:
    assert_usable(said(replace(sample, headers={"retry-after": value})))


@pytest.mark.parametrize("sample", [sample for sample in DISTINCT if gist(sample.expected) == "accepted"], ids=str)
def test_answer_with_a_task_id_is_never_a_refusal(sample: Sample) -> None:
    ref = sample.expected["ref"].encode()
    contradictory = [replace(sample, status=status) for status in range(200, 600)]
    contradictory += [worse for worse in damaged_samples(sample) if ref in worse.body]
    assert [answer for answer in map(said, contradictory) if isinstance(answer, ProviderRefused)] == []


_documents = [value for sample in DISTINCT for value in values(parsed(sample.body))]
VOCABULARY = sorted(
    {value for value in _documents if isinstance(value, str)}
    | {name for value in _documents if isinstance(value, dict) for name in value}
)
"""Every name and text in the samples, so that made-up documents come close to real ones."""

_texts = st.sampled_from(VOCABULARY) | st.text(st.characters(exclude_categories=[]))
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=6),
    max_leaves=12,
)


@each_provider
@pytest.mark.parametrize("kind", RAISES)
@settings(deadline=None)
@given(body=st.binary() | _json.map(lambda made_up: json.dumps(made_up).encode()))
def test_any_body_is_understood_or_unexpected(name: str, kind: str, body: bytes) -> None:
    assert_usable(said(Sample(provider=name, case="any", kind=kind, source="made up", body=body, expected=None)))


@each_distinct_sample
def test_deep_nesting_is_understood_or_unexpected(sample: Sample) -> None:
    for worse in damaged_samples(sample, ("deep",)):
        for depth in (500, 100_000):
            assert_usable(said(replace(worse, body=worse.body.replace(b'"deep"', b"[" * depth + b"]" * depth))))


@each_distinct_sample
def test_long_words_are_cut(sample: Sample) -> None:
    answers = [said(worse) for worse in damaged_samples(sample, ("x" * 100_000,))]
    failures = [answer.failure for answer in answers if isinstance(answer, Outcome | ProviderRefused)]
    assert [failure.code for failure in failures if failure and len(repr(failure)) > 5_000] == []


# 7. Statuses


@each_provider
def test_every_final_state_word_moves_a_task(name: str) -> None:
    states = PROVIDERS[name].states
    assert {*states.values()} == {OutcomeState.RUNNING, OutcomeState.SUCCEEDED, OutcomeState.FAILED}
    for state in states.values():
        outcome = Outcome(state=state)
        assert (advance(a_task(status=Status.QUEUED), outcome) is not None) == outcome.is_final


@pytest.mark.parametrize(
    "sample", [s for s in REPORTS if gist(s.expected) in {"running", "succeeded", "failed"}], ids=str
)
def test_invented_state_word_is_unknown(sample: Sample) -> None:
    """Save where a failure is told by its error alone, whatever the state, or without one."""
    words = PROVIDERS[sample.provider].states
    stateless, outcome = (
        said(replace(sample, body=json.dumps(with_words_replaced(parsed(sample.body), words, by)).encode()))
        for by in (None, "levitating")
    )
    if gist(sample.expected) == "failed" and as_written(stateless) == sample.expected:
        assert outcome == stateless
        return
    assert isinstance(outcome, Outcome)
    assert outcome.state is OutcomeState.UNKNOWN
    assert advance(a_task(ref=outcome.ref), outcome) is None


def with_words_replaced(value: Json, words: Collection[str], by: Json) -> Json:
    """The value with something else in the place of each of these words."""
    match value:
        case dict():
            return {name: with_words_replaced(inner, words, by) for name, inner in value.items()}
        case list():
            return [with_words_replaced(inner, words, by) for inner in value]
        case _:
            return by if as_text(value) in words else value


# 8. Options


def options(offer: Offer) -> dict[str, Mapping[Json, Json]]:
    """What may be chosen for each option, ours and the provider's."""
    return {
        "aspect_ratio": offer.aspect_ratios,
        "resolution": offer.resolutions,
        "output_format": offer.output_formats,
        "web_search": {True: True} if offer.web_search else {},
    }


def images(number: int) -> tuple[str, ...]:
    return tuple(f"https://example.com/{count}.png" for count in range(number))


def plain(model: str, offer: Offer, **changes: Json) -> ImageRequest:
    """The least that the offer takes."""
    least = ImageRequest(
        model=model, provider=offer.provider, prompt="x" * offer.prompt[0], images=images(offer.references[0])
    )
    return replace(least, **changes)


def built_document(model: str, offer: Offer, **changes: Json) -> Json:
    return json.loads(build(plain(model, offer, **changes), offer.provider).body)


@each_offer
def test_option_outside_an_offer_is_refused_by_name(model: str, offer: Offer) -> None:
    outside: list[tuple[str, Json]] = [
        (name, value)
        for name, choices in options(offer).items()
        for value in {value for _, other in OFFERS for value in options(other)[name]} - choices.keys()
    ]
    outside += [(name, "no such thing") for name in ("aspect_ratio", "resolution", "output_format")]
    outside += [("prompt", "x" * length) for length in (0, offer.prompt[-1] + 1) if length not in offer.prompt]
    outside += [
        ("images", images(number)) for number in (0, offer.references[-1] + 1) if number not in offer.references
    ]
    for name, value in outside:
        with pytest.raises(InvalidRequest) as refusal:
            chosen(plain(model, offer, **{name: value}), PROVIDERS)
        assert refusal.value.field == name


@each_offer
def test_option_inside_an_offer_appears_in_the_request(model: str, offer: Offer) -> None:
    for name, choices in options(offer).items():
        for value, native in choices.items():
            assert native in values(built_document(model, offer, **{name: value}))
    for prompt in ("x" * length for length in (offer.prompt[0], offer.prompt[-1]) if length):
        assert prompt in values(built_document(model, offer, prompt=prompt))
    for number in offer.references:
        references = images(number)
        document = built_document(model, offer, images=references)
        assert [value for value in values(document) if value in references] == [*references]


@each_offer
def test_web_search_is_mentioned_only_where_there_is_one(model: str, offer: Offer) -> None:
    declined, unsaid = (built_document(model, offer, web_search=choice) for choice in (False, None))
    assert (declined != unsaid) == offer.web_search


@each_offer
def test_provider_options_pass_untouched(model: str, offer: Offer) -> None:
    extra = {"x_native": {"depth": [1, 2.5, None, True, "ü"]}, "x_other": ""}
    document = built_document(model, offer, provider_options=extra)
    place = place_of_options(document)
    assert {name: place.pop(name) for name in extra} == extra
    # An object that is there for them alone is left out where there are none.
    untouched = {name: value for name, value in document.items() if value != {}}
    assert untouched == built_document(model, offer)


@each_offer
def test_provider_options_overwrite_nothing(model: str, offer: Offer) -> None:
    """What Pixhook may set is its own, whether the request at hand sets it or not: the catalogue checks it.

    Options that have an object to themselves may not repeat what stands around it.
    """
    everything = {name: next(iter(choices)) for name, choices in options(offer).items() if choices}
    full = plain(model, offer, images=images(offer.references[-1]), **everything)
    document = json.loads(build(replace(full, provider_options={"x_native": 1}), offer.provider).body)
    for name in place_of_options(document).keys() - {"x_native"} or document.keys():
        for request in (full, plain(model, offer)):
            with pytest.raises(InvalidRequest) as refusal:
                build(replace(request, provider_options={name: "other"}), offer.provider)
            assert refusal.value.field == f"provider_options.{name}"


def place_of_options(document: Json) -> dict[str, Json]:
    """The object that `x_native`, a provider option, was put in."""
    return next(value for value in values(document) if isinstance(value, dict) and "x_native" in value)


# 9. Secrets


def test_credential_does_not_show_its_key() -> None:
    assert API_KEY not in f"{Credential(api_key=API_KEY)} {Credential(api_key=API_KEY)!r}"


@each_provider
def test_request_shows_no_secret(name: str) -> None:
    url = callbacks.callback_url(BASE_URL, name, TASK_ID, CALLBACK_KEYS)
    for model, offer in OFFERS:
        if offer.provider == name:
            request = PROVIDERS[name].build_submit(plain(model, offer), offer, url)
            shown = f"{request!r} {request.url} {request.headers} {request.body!r}"
            assert not any(secret in shown for secret in (API_KEY, *CALLBACK_KEYS))


@each_provider
def test_authorized_request_does_not_show_the_key(name: str) -> None:
    for request in requests_to(name):
        assert API_KEY not in repr(PROVIDERS[name].authorize(request, Credential(api_key=API_KEY)))


@each_provider
def test_rejection_does_not_say_what_would_pass(name: str) -> None:
    genuine = signed_path(name)
    with pytest.raises(CallbackRejected) as rejection:
        callbacks.verify(f"{genuine}x", CALLBACK_KEYS)
    assert not any(secret in repr(rejection.value) for secret in (genuine.rpartition("/")[2], *CALLBACK_KEYS))


@each_distinct_sample
def test_document_that_is_not_understood_is_not_quoted(sample: Sample) -> None:
    for worse in damaged_samples(sample, ("planted", ["planted"], {"planted": "planted"})):
        answer = said(worse)
        if isinstance(answer, ProviderUnclear | UnexpectedPayload):
            assert "planted" not in repr(answer)
