"""The document of events and webhooks: its own parser takes it, and it names what there is."""

import json
import subprocess

from local.stack import ROOT
from pixhook.model import EventType
from pixhook.signatures import signed_headers
from tests.support.builders import NOW

FILE = ROOT / "docs" / "asyncapi.json"
DOCUMENT = json.loads(FILE.read_bytes())
NODE = ROOT / ".local" / "venvs" / "node" / "bin" / "node"


def test_parser_has_nothing_to_say_of_it_and_finds_every_event() -> None:
    command = [NODE, ROOT / "tests" / "npm" / "asyncapi.mjs", FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["diagnostics"] == []
    assert set(said["messages"]) == set(EventType)


def test_bus_has_every_event_but_the_one_that_tests_a_webhook() -> None:
    names = {
        channel: {DOCUMENT["components"]["messages"][name]["name"] for name in _messages(channel)}
        for channel in ("bus", "webhook")
    }
    assert names == {"bus": set(EventType) - {EventType.TEST}, "webhook": set(EventType)}


def _messages(channel: str) -> list[str]:
    references = DOCUMENT["channels"][channel]["messages"].values()
    return [reference["$ref"].rpartition("/")[2] for reference in references]


def test_headers_are_those_that_webhooks_have() -> None:
    described = DOCUMENT["components"]["schemas"]["signature"]["required"]
    assert set(described) == signed_headers("evt_1", b"{}", NOW, ["whsec_YQ=="]).keys()
