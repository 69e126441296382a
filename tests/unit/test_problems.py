"""Every error has its answer in HTTP, and tells the client nothing that is not the client's."""

import json
from collections.abc import Mapping

import pytest

from pixhook import errors
from pixhook.model import ErrorCode, Failure, HttpResponse
from pixhook.problems import CONTENT_TYPE, problem
from pixhook.providers import PROVIDERS
from tests.support.builders import an_error

UNFORESEEN = (500, "internal_error", False)

ANSWERS: Mapping[type[errors.PixhookError], tuple[int, str, bool]] = {
    errors.InvalidRequest: (422, "invalid_request", False),
    errors.UnsupportedMediaType: (415, "unsupported_media_type", False),
    errors.PayloadTooLarge: (413, "payload_too_large", False),
    errors.KeyReused: (422, "idempotency_key_reused", False),
    errors.ScopeMissing: (403, "scope_missing", False),
    errors.NotInPlan: (403, "not_in_plan", False),
    errors.AccountInactive: (403, "account_inactive", False),
    errors.OutOfCredits: (402, "out_of_credits", False),
    errors.TooManyRequests: (429, "too_many_requests", True),
    errors.TooManyTasks: (429, "too_many_tasks", True),
    errors.NotFound: (404, "not_found", False),
    errors.TooLate: (409, "too_late", False),
    errors.Deleted: (410, "deleted", False),
    errors.TooManyWebhooks: (409, "too_many_webhooks", False),
    errors.NotReady: (409, "not_ready", True),
    errors.CallbackRejected: (401, "callback_rejected", False),
    errors.StoreUnavailable: (503, "service_unavailable", True),
    errors.SecretMisconfigured: (503, "misconfigured", True),
    # These are handled before they come to a client; one that does come is our mistake.
    errors.AlreadyDone: UNFORESEEN,
    errors.AddressRejected: UNFORESEEN,
    errors.ImageRejected: UNFORESEEN,
    errors.ImageUnavailable: UNFORESEEN,
    errors.NoAnswer: UNFORESEEN,
    errors.NotAnImage: UNFORESEEN,
    errors.NotAsked: UNFORESEEN,
    errors.NotConfirmed: UNFORESEEN,
    errors.NotSent: UNFORESEEN,
    errors.ProviderUnclear: UNFORESEEN,
    errors.TaskUnknown: UNFORESEEN,
    errors.UnexpectedPayload: UNFORESEEN,
}
"""Status, code and `retryable`; `ProviderRefused` has as many as it has reasons."""

REFUSALS = {
    ErrorCode.CONTENT_POLICY: 422,
    ErrorCode.INVALID_PROMPT: 422,
    ErrorCode.INVALID_IMAGE: 422,
    ErrorCode.INVALID_REQUEST: 422,
    ErrorCode.UNSUPPORTED_OPTION: 422,
    ErrorCode.RATE_LIMITED: 503,
    ErrorCode.PROVIDER_UNAVAILABLE: 503,
    ErrorCode.PROVIDER_ACCOUNT: 503,
    ErrorCode.TIMEOUT: 503,
    ErrorCode.NO_IMAGE: 503,
    ErrorCode.STORAGE_FAILED: 503,
    ErrorCode.CANCELED: 503,
    ErrorCode.UNKNOWN: 503,
}


def _descendants(kind: type[errors.PixhookError]) -> set[type[errors.PixhookError]]:
    return {kind}.union(*map(_descendants, kind.__subclasses__()))


def _a_failure(code: ErrorCode = ErrorCode.CONTENT_POLICY) -> Failure:
    return Failure(code=code, message="apixo said no.", native_code="NO_1", native_message="no, and why")


def test_every_error_has_an_answer() -> None:
    assert ANSWERS.keys() | {errors.PixhookError, errors.ProviderRefused, errors.ProviderInTrouble} == _descendants(
        errors.PixhookError
    )


def test_every_reason_of_a_refusal_has_an_answer() -> None:
    assert REFUSALS.keys() == set(ErrorCode)


def test_a_problem_is_a_document_of_rfc_9457() -> None:
    found = problem(errors.NotFound("There is no image 'tsk_1'."))

    assert CONTENT_TYPE == "application/problem+json"
    assert found.document == {
        "type": "urn:pixhook:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no image 'tsk_1'.",
        "code": "not_found",
        "retryable": False,
    }
    assert not found.headers


@pytest.mark.parametrize(("kind", "answer"), ANSWERS.items())
def test_an_error_is_answered_by_its_kind(kind: type[errors.PixhookError], answer: tuple[int, str, bool]) -> None:
    found = problem(an_error(kind, "the words"))
    document = found.document
    assert (found.status, document["code"], document["retryable"]) == answer
    assert document["status"] == found.status
    assert document["type"] == f"urn:pixhook:problem:{document['code']}"
    json.dumps(document)


@pytest.mark.parametrize("kind", [*ANSWERS, ValueError, KeyError, Exception])
def test_the_client_reads_only_of_its_own_mistakes(kind: type[Exception]) -> None:
    found = problem(an_error(kind, "arn:aws:secret"))
    assert ("arn:aws:secret" in json.dumps(found.document)) is not found.is_ours


def test_an_error_that_nobody_foresaw_is_not_to_be_tried_again() -> None:
    found = problem(ZeroDivisionError("division by zero"))
    assert (found.status, found.document["code"], found.document["retryable"]) == UNFORESEEN


@pytest.mark.parametrize("kind", [errors.InvalidRequest, errors.UnsupportedMediaType, errors.PayloadTooLarge])
def test_a_field_at_fault_is_named(kind: type[errors.InvalidRequest]) -> None:
    assert problem(kind("too long", field="prompt")).document["field"] == "prompt"
    assert "field" not in problem(kind("too long")).document


@pytest.mark.parametrize("code", [code for code in ErrorCode if not code.is_retryable])
def test_a_fault_that_we_find_has_the_code_that_a_provider_would_find(code: ErrorCode) -> None:
    found = problem(errors.InvalidRequest("too long", field="prompt", code=code)).document
    assert (found["status"], found["code"], found["retryable"]) == (REFUSALS[code], code, False)
    assert found["type"] == f"urn:pixhook:problem:{code}"


def test_an_account_without_credits_learns_how_many_it_takes() -> None:
    document = problem(errors.OutOfCredits("no", required=5, balance=3)).document
    assert (document["required"], document["balance"]) == (5, 3)


@pytest.mark.parametrize("kind", [errors.TooManyRequests, errors.TooManyTasks])
def test_who_asks_too_often_learns_when_to_ask_again(kind: type[errors.TooManyRequests]) -> None:
    assert problem(kind("no", retry_after=17)).headers == {"retry-after": "17"}


@pytest.mark.parametrize(("code", "status"), REFUSALS.items())
def test_a_refusal_is_answered_by_whose_fault_it_is(code: ErrorCode, status: int) -> None:
    found = problem(errors.ProviderRefused(_a_failure(code), task_id="tsk_1"))
    document = found.document

    assert (found.status, document["status"], document["code"], document["task_id"]) == (status, status, code, "tsk_1")
    assert document["retryable"] is code.is_retryable
    assert document["detail"] == "apixo said no."


def test_a_refusal_comes_with_the_providers_words() -> None:
    document = problem(errors.ProviderRefused(_a_failure())).document
    assert (document["native_code"], document["native_message"]) == ("NO_1", "no, and why")
    assert "task_id" not in document


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_a_provider_says_of_our_account_is_not_passed_on(name: str) -> None:
    answer = HttpResponse(status=401, body=b'{"code": 401, "message": "key sk-live-1 is suspended"}')
    with pytest.raises(errors.ProviderRefused) as refused:
        PROVIDERS[name].parse_submit(answer)

    document = problem(refused.value).document

    assert document["code"] == ErrorCode.PROVIDER_ACCOUNT
    assert "sk-live-1" not in json.dumps(document)


@pytest.mark.parametrize(("seconds", "headers"), [(None, {}), (0, {"retry-after": "0"}), (7, {"retry-after": "7"})])
def test_when_the_provider_says_how_long_to_wait_so_do_we(seconds: int | None, headers: dict[str, str]) -> None:
    refused = errors.ProviderRefused(_a_failure(ErrorCode.RATE_LIMITED), retry_after=seconds)
    assert problem(refused).headers == headers
