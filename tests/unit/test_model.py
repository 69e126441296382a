"""The nouns hold what they are given, and hide what is secret."""

import pytest

from pixhook.model import Credential, ErrorCode, HttpRequest, HttpResponse, Outcome, OutcomeState

FAULTS_OF_THE_REQUEST = {
    ErrorCode.CONTENT_POLICY,
    ErrorCode.INVALID_PROMPT,
    ErrorCode.INVALID_IMAGE,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.UNSUPPORTED_OPTION,
}


@pytest.mark.parametrize("code", ErrorCode)
def test_only_a_fault_of_the_request_stays_one_when_sent_again(code: ErrorCode) -> None:
    assert code.is_retryable is (code not in FAULTS_OF_THE_REQUEST)


@pytest.mark.parametrize("state", OutcomeState)
def test_all_but_running_and_unknown_is_final(state: OutcomeState) -> None:
    assert Outcome(state=state).is_final is (state not in {OutcomeState.RUNNING, OutcomeState.UNKNOWN})


@pytest.mark.parametrize(("status", "expected"), [(199, False), (200, True), (299, True), (300, False)])
def test_a_2xx_is_a_success(status: int, expected: bool) -> None:
    assert HttpResponse(status=status).is_success is expected


def test_headers_are_added_to_a_copy() -> None:
    bare = HttpRequest(method="GET", url="https://api.example/", headers={"accept": "*/*"})

    assert bare.with_headers(authorization="Bearer k").headers == {"accept": "*/*", "authorization": "Bearer k"}
    assert bare.headers == {"accept": "*/*"}


def test_a_credential_does_not_show_its_key() -> None:
    assert "sk-live" not in repr(Credential(api_key="sk-live", base_url="https://api.example"))
