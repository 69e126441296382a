"""The path of one image through the deployed stack, with each provider as it should be."""

import hashlib
import io

import httpx
import pytest
from PIL import Image as Picture

from local.offers import models_of
from local.simulators import PROVIDERS
from pixhook.catalogue import MODELS, Offer
from tests.e2e.conftest import Gateway

SEVERAL = [(provider, model) for provider in PROVIDERS for model in models_of(provider, references=2)]
OFFERS = [(model, offer) for model in MODELS for offer in MODELS[model].offers]


@pytest.mark.parametrize("references", [[], ["cat"]], ids=["text", "image"])
def test_an_image_comes_back(gateway: Gateway, provider: str, prompt: str, references: list[str]) -> None:
    images = [f"{gateway.info.simulators_url}/references/{name}.png" for name in references]
    order = {
        "model": models_of(provider)[0],
        "provider": provider,
        "prompt": prompt,
        "metadata": {"order": 7, "n": 1.5},
    }
    task = gateway.submit(**order, **({"images": images} if images else {}))

    ended = gateway.ended(task["id"])

    assert ended["status"] == "completed"
    assert ended["metadata"] == order["metadata"]
    (file,) = ended["files"]
    (event,) = gateway.events(task["id"])
    assert event["source"] == "pixhook"
    assert event["detail-type"] == event["detail"]["type"] == "images.completed"
    (image,) = event["detail"]["images"]
    content = gateway.stored(image)
    assert image["sha256"] == file["sha256"] == hashlib.sha256(content).hexdigest()
    assert image["size"] == file["size"] == len(content)
    with Picture.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.size == (image["width"], image["height"]) == (file["width"], file["height"])
        assert picture.get_format_mimetype() == image["content_type"] == file["content_type"]
    redirect = gateway.api.get(file["path"])
    assert redirect.status_code == 302
    assert httpx.get(redirect.headers["location"], trust_env=False).content == content


@pytest.mark.parametrize(("provider_name", "model"), SEVERAL)
def test_several_references_are_taken(gateway: Gateway, provider_name: str, model: str, prompt: str) -> None:
    images = [f"{gateway.info.simulators_url}/references/{name}.png" for name in ("cat", "product")]
    task = gateway.submit(model=model, provider=provider_name, prompt=prompt, images=images)

    assert gateway.ended(task["id"])["status"] == "completed"


@pytest.mark.parametrize(("model", "offer"), OFFERS, ids=[f"{model}-{offer.provider}" for model, offer in OFFERS])
def test_every_model_on_offer_is_accepted(gateway: Gateway, model: str, offer: Offer) -> None:
    """The simulators refuse what the provider would refuse: each offer's defaults and names are right."""
    images = [f"{gateway.info.simulators_url}/references/cat.png"] * offer.references[0]
    task = gateway.submit(model=model, provider=offer.provider, prompt="a fox" * min(1, offer.prompt[0]), images=images)

    assert gateway.ended(task["id"])["status"] == "completed"


def test_all_options_reach_the_provider(gateway: Gateway, prompt: str) -> None:
    task = gateway.submit(
        model="nano-banana-2",
        provider="apixo",
        prompt=prompt,
        aspect_ratio="16:9",
        resolution="2k",
        output_format="jpeg",
        web_search=False,
    )

    (file,) = gateway.ended(task["id"])["files"]

    assert file["content_type"] == "image/jpeg"
    assert file["width"] > file["height"]
    (submit,) = gateway.submits(prompt)
    assert submit["body"]["input"]["google_search"] is False


def test_several_images_are_all_stored(gateway: Gateway, prompt: str) -> None:
    task = gateway.submit(model="gpt-image-1", provider="apixo", prompt=prompt, provider_options={"num_images": 4})

    ended = gateway.ended(task["id"])

    assert len(ended["files"]) == 4
    (event,) = gateway.events(task["id"])
    assert [image["key"] for image in event["detail"]["images"]] == [
        f"images/{task['id']}/{number}.png" for number in range(4)
    ]


def test_a_data_uri_larger_than_a_queue_message_arrives(gateway: Gateway, prompt: str) -> None:
    gateway.misbehave(prompt, result={"inline": True, "min_bytes": 2 * 1024 * 1024})
    task = gateway.submit(model="nano-banana", provider="defapi", prompt=prompt)

    (file,) = gateway.ended(task["id"])["files"]

    assert file["size"] >= 2 * 1024 * 1024
    assert len(gateway.events(task["id"])) == 1


@pytest.mark.parametrize("host", [{}, {"chunked": True}], ids=["with length", "without length"])
def test_a_large_image_arrives(gateway: Gateway, prompt: str, host: dict[str, bool]) -> None:
    gateway.misbehave(prompt, result={"min_bytes": 50 * 1024 * 1024}, host=host)
    task = gateway.submit(model="nano-banana-2", prompt=prompt)

    (file,) = gateway.ended(task["id"])["files"]

    (event,) = gateway.events(task["id"])
    assert file["size"] >= 50 * 1024 * 1024
    assert hashlib.sha256(gateway.stored(event["detail"]["images"][0])).hexdigest() == file["sha256"]


def test_a_failed_generation_is_one_event_with_the_providers_words(gateway: Gateway, prompt: str) -> None:
    gateway.misbehave(prompt, result={"fail": {"code": "SensitiveContent", "message": "Not this one"}})
    task = gateway.submit(model="nano-banana-2", provider="apixo", prompt=prompt)

    ended = gateway.ended(task["id"])

    assert ended["status"] == "failed"
    assert ended["error"]["code"] == "content_policy"
    assert ended["error"]["native_message"] == "Not this one"
    (event,) = gateway.events(task["id"])
    assert event["detail-type"] == "images.failed"
    assert event["detail"]["error"] == ended["error"]
