"""What every test gets: an environment of our own making, and no network. And what a run says at its end."""

import pytest

from tests.support.counted import COUNTED, POINTS

SETTINGS = {
    "ACCOUNTS_TABLE": "accounts",
    "ADMITTED_HOSTS": "",
    "ATTEMPT_DEAD_LETTERS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-attempts.fifo",
    "ATTEMPT_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/attempts.fifo",
    "BREAKERS_TABLE": "breakers",
    "CALLBACK_KEYS_SECRET": "callback-keys",
    "DEADLINE_DEAD_LETTERS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-deadlines",
    "DEADLINE_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/deadlines",
    "EVENT_BUS": "events",
    "FINISH_DEAD_LETTERS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-finish.fifo",
    "FINISH_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/finish.fifo",
    "IMAGES_BUCKET": "images",
    "LAST_RESORT_READS": "true",
    "POLLER": "arn:aws:states:us-east-1:123456789012:stateMachine:poller",
    "PROVIDERS_SECRET": "providers",
    "PUBLIC_BASE_URL": "https://pixhook.example/v1",
    "RETENTION_DAYS": "30",
    "TASKS_TABLE": "tasks",
    "WEBHOOKS_TABLE": "webhooks",
    "WEBHOOK_DEAD_LETTERS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/dead-webhooks",
    "WEBHOOK_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/webhooks",
    "WEBHOOK_SCHEDULE": "5,300,1800,7200,18000,36000,50400,64800,79200",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and credentials that lead nowhere."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at how many points something was made to go wrong, and how many attacks were tried."""

    def counted(what: str) -> int:
        passed = terminalreporter.getreports("passed")
        return sum(int(str(value)) for report in passed for name, value in report.user_properties if name == what)

    if points := counted(POINTS):
        terminalreporter.write_line(f"{points} points at which a process died or a call failed, and nothing was lost")
    if tried := counted(COUNTED):
        terminalreporter.write_line(f"{tried} attacks, and nobody got in")
