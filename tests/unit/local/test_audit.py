"""An audit that found something fails, and one that could not look says so."""

import json
from collections.abc import Mapping

import pytest

from local.audit import verdict

CLEAN = {"name": "httpx", "version": "0.28.1", "vulns": []}
VULNERABLE = {
    "name": "urllib3",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.26.5", "2.0"], "aliases": []}],
}
UNKNOWN = {"name": "boto3", "skip_reason": "Dependency not found on PyPI and could not be audited: boto3 (1.44.5)"}


def answer(*packages: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_clean_audit_passes_and_says_of_how_many() -> None:
    found = verdict(answer(CLEAN, CLEAN), "No known vulnerabilities found")
    assert found.is_passed
    assert found.said == ["2 of 2 packages checked for known vulnerabilities."]


def test_finding_fails_and_is_named() -> None:
    found = verdict(answer(CLEAN, VULNERABLE, UNKNOWN), "Found 1 known vulnerability in 1 package")
    assert not found.is_passed
    assert "urllib3 1.0: PYSEC-1, fixed in 1.26.5, 2.0" in found.said


def test_package_that_nobody_knows_is_not_called_clean() -> None:
    found = verdict(answer(CLEAN, UNKNOWN), "No known vulnerabilities found")
    assert found.is_passed
    assert found.said == [
        "1 of 2 packages checked for known vulnerabilities.",
        "NOT CHECKED, because the service does not know them: boto3.",
    ]


@pytest.mark.parametrize(
    "trouble",
    [
        "Traceback\nrequests.exceptions.ProxyError: HTTPSConnectionPool(host='a'): Max retries exceeded",
        "Traceback\nrequests.exceptions.ConnectTimeout: timed out",
        "ERROR:pip_audit._cli:Could not connect\nERROR:pip_audit._cli:Tip: your network may be blocking this service.",
        "Traceback\npip_audit._service.interface.ServiceError",
    ],
    ids=lambda trouble: trouble[-40:],
)
def test_service_that_cannot_be_asked_is_said_and_fails_nobody(trouble: str) -> None:
    found = verdict("", trouble)
    assert found.is_passed
    assert [line.partition(",")[0] for line in found.said] == ["NOT CHECKED"]


@pytest.mark.parametrize(
    "trouble", ["", "ERROR:pip_audit._cli:requirement urllib3==1.0 does not contain a hash", "usage: pip-audit [-h]"]
)
def test_audit_that_fails_by_itself_fails(trouble: str) -> None:
    assert not verdict("", trouble).is_passed
