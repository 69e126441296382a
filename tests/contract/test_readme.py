"""What the README says of providers and models, and the page on errors of these, is what the code says."""

import inspect
import json
import re

from local.stack import ROOT, read_template
from pixhook import errors
from pixhook.catalogue import MODELS, Model, Offer
from pixhook.model import ErrorCode, Failure
from pixhook.problems import problem
from pixhook.providers import PROVIDERS
from tests.support.builders import an_error

HEADER = (
    "| Model | Provider | Prompt | References | Resolutions | Formats | Callback | Credits |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def _credits(model: Model, offer: Offer) -> str:
    """In the order of the resolutions, where there are any."""
    prices = [model.credits_by_resolution[resolution] for resolution in offer.resolutions] or [model.credits]
    return ", ".join(map(str, prices))


def _capabilities() -> str:
    rows = [
        f"| `{name}` | {offer.provider} | {offer.prompt[-1]:,} | {offer.references[-1]} "
        f"| {', '.join(offer.resolutions) or '-'} | {', '.join(offer.output_formats) or '-'} "
        f"| {PROVIDERS[offer.provider].capabilities.callback} | {_credits(model, offer)} |\n"
        for name, model in MODELS.items()
        for offer in model.offers
    ]
    return HEADER + "".join(rows)


def test_the_capability_table_is_that_of_the_catalogue() -> None:
    readme = (ROOT / "README.md").read_text()
    start, end = readme.index("compares them with the code -->\n"), readme.index("<!-- /capabilities -->")

    written = readme[start:end].partition("\n")[2]

    assert written == _capabilities(), f"In README.md it should be:\n{_capabilities()}"


def test_every_error_is_documented_as_it_is_answered() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.PixhookError)]
    ours = [an_error(kind) for kind in kinds if not issubclass(kind, errors.ProviderRefused)]
    theirs = [errors.ProviderRefused(Failure(code=code, message="")) for code in ErrorCode]
    answers = [problem(error).document for error in (*ours, *theirs)]
    for response in read_template()["Resources"]["Api"]["Properties"]["GatewayResponses"].values():
        text = response["ResponseTemplates"]["application/json"]
        answers += [json.loads(text)] if "StatusCode" in response else []

    answered = {
        (str(answer["code"]), str(answer["status"]), "yes" if answer["retryable"] else "no") for answer in answers
    }

    assert sorted(rows) == sorted(answered)
