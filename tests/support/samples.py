"""What providers send and are sent: tests/samples/<provider>/<case>/ holds the bytes and what they come to.

`body` is raw; `case.json` is the rest of a `Sample`. Where cases differ in a word only, `variants` is a table: its
first row stands in both files as they are, and each further row in its place makes one more sample.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pixhook.model import HttpResponse, Json, Outcome
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Accepted

SAMPLES = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One body, and what the adapter has to make of it."""

    provider: str
    case: str
    kind: str
    """`submit_request`, `submit_response`, `callback` or `status`."""
    source: str
    """The page that shows or describes it."""
    body: bytes
    expected: Json
    """A request's method, url and headers; a `ref`; what was `refused`; an outcome; `unclear` or `unexpected`."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    request: Json = None
    """The public request of a `submit_request`."""
    variant: int = 0

    def __str__(self) -> str:
        return f"{self.provider}-{self.case}" + (f"-{self.variant}" if self.variant else "")

    def read(self) -> Accepted | Outcome:
        """What the provider's adapter makes of it; raises what the adapter raises."""
        provider = PROVIDERS[self.provider]
        if self.kind == "callback":
            return provider.parse_callback(self.body)
        response = HttpResponse(status=self.status, headers=self.headers, body=self.body)
        return provider.parse_status_read(response) if self.kind == "status" else provider.parse_submit(response)


def samples(*kinds: str) -> list[Sample]:
    """All samples of these kinds, of all providers."""
    return [sample for folder in sorted(SAMPLES.glob("*/*/")) for sample in _load(folder) if sample.kind in kinds]


def _load(folder: Path) -> Iterator[Sample]:
    case = json.loads((folder / "case.json").read_bytes())
    rows = case.pop("variants", [[]])
    for number, row in enumerate(rows):
        body, rest = (folder / "body").read_bytes(), json.dumps(case)
        for word, other in zip(rows[0], row, strict=True):
            body, rest = body.replace(word.encode(), other.encode()), rest.replace(word, other)
        yield Sample(provider=folder.parent.name, case=folder.name, body=body, variant=number, **json.loads(rest))
