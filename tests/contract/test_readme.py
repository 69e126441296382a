"""What the README says of providers and models is what the code says."""

from local.stack import ROOT
from pixhook.catalogue import MODELS
from pixhook.providers import PROVIDERS

HEADER = (
    "| Model | Provider | Prompt | References | Resolutions | Formats | Callback |\n|---|---|---|---|---|---|---|\n"
)


def _capabilities() -> str:
    rows = [
        f"| `{model}` | {offer.provider} | {offer.prompt[-1]:,} | {offer.references[-1]} "
        f"| {', '.join(offer.resolutions) or '-'} | {', '.join(offer.output_formats) or '-'} "
        f"| {PROVIDERS[offer.provider].capabilities.callback} |\n"
        for model, offers in MODELS.items()
        for offer in offers
    ]
    return HEADER + "".join(rows)


def test_the_capability_table_is_that_of_the_catalogue() -> None:
    readme = (ROOT / "README.md").read_text()
    start, end = readme.index("compares them with the code -->\n"), readme.index("<!-- /capabilities -->")

    written = readme[start:end].partition("\n")[2]

    assert written == _capabilities(), f"In README.md it should be:\n{_capabilities()}"
