"""The API's document as it is served: it leads to an API that does what it says."""

import subprocess
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate

from local.stack import ROOT
from tests.e2e.conftest import Gateway

SCHEMATHESIS = ROOT / ".venv" / "bin" / "schemathesis"


def test_document_is_served_to_anybody_with_the_apis_own_url(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.info.api_url}/openapi.json", timeout=60, trust_env=False)
    document = answer.raise_for_status().json()
    validate(document)
    assert document["servers"] == [{"url": gateway.info.api_url}]


def test_page_is_served_to_anybody_and_needs_nothing_from_elsewhere(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.info.api_url}/docs", timeout=60, trust_env=False)
    assert answer.raise_for_status().headers["content-type"] == "text/html; charset=utf-8"
    assert '"operationId": "submitImage"' in answer.text
    assert "<script src=" not in answer.text


def test_api_does_what_its_document_says(gateway: Gateway, tmp_path: Path) -> None:
    """Schemathesis with all its checks, but for what `schemathesis.toml` says and why; by an account of its own."""
    admin = gateway.info.invoke_admin
    account_id = admin(action="create_account", name="schemathesis")["account_id"]
    admin(action="set_plan", account_id=account_id, plan="enterprise", overrides={"requests": 100_000})
    admin(action="grant_credits", account_id=account_id, credits=1_000_000)
    key = admin(action="create_key", account_id=account_id)["key"]
    command: list[str | Path] = [
        *(SCHEMATHESIS, "--config-file", Path(__file__).with_name("schemathesis.toml")),
        *("run", f"{gateway.info.api_url}/openapi.json", "--max-examples", "10"),
        *("--header", f"Authorization: Bearer {key}", "--no-color", "--seed", "1"),
    ]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    if done.returncode:
        pytest.fail(done.stdout[-10_000:] + done.stderr[-2_000:])
