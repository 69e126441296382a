"""The world as functions find it: settings, logger, clock, clients. Only `functions/` imports it.

Rule 1: nothing else reads the environment.
Rule 2: each thing is made once per environment, and only by a function that asks for it: the imports stand
where they are needed, so that `authorize` does not load what only `finish` uses.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from time import sleep as sleep  # for functions that wait for one another
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from pixhook.aws.clients import client

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.api_gateway_proxy_event import (
        APIGatewayEventRequestContext,
    )

    from pixhook.addresses import AddressGuard
    from pixhook.aws.accounts import Accounts
    from pixhook.aws.dead_letters import DeadLetters
    from pixhook.aws.deadlines import Deadlines
    from pixhook.aws.deliveries import Deliveries
    from pixhook.aws.images import Images
    from pixhook.aws.outcomes import Outcomes
    from pixhook.aws.pollers import Pollers
    from pixhook.aws.secrets import Secrets
    from pixhook.aws.tasks import Tasks
    from pixhook.aws.uploads import Uploads
    from pixhook.aws.webhooks import Webhooks
    from pixhook.flows.deliver import Deliverer
    from pixhook.flows.finish import Finisher
    from pixhook.flows.status import StatusRead
    from pixhook.flows.submit import Submitter
    from pixhook.flows.webhooks import WebhookManager
    from pixhook.model import Task

# ASCII, or else what somebody sends could end a line, hide it, or keep it from being written.
logger = Logger(service="pixhook", json_serializer=partial(json.dumps, default=str, separators=(",", ":")))


class SettingsMissing(Exception):
    """The function's environment lacks variables that the template sets. Not a `PixhookError`: nobody handles it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the template tells the functions, by the same names in capitals."""

    accounts_table: str
    admitted_hosts: str
    callback_keys_secret: str
    event_bus: str
    finish_queue_url: str
    images_bucket: str
    providers_secret: str
    public_base_url: str
    retention_days: str
    tasks_table: str
    attempt_dead_letters_url: str = ""
    """Only admin's."""
    attempt_queue_url: str = ""
    """Only deliver's, webhooks' and admin's."""
    api_url: str = ""
    """Only admin's: the API's own functions cannot name what is made of them."""
    breakers_table: str = ""
    """Only submit's."""
    deadline_dead_letters_url: str = ""
    """Only admin's."""
    deadline_queue_url: str = ""
    """Only submit's, expire's and admin's."""
    finish_dead_letters_url: str = ""
    """Only admin's."""
    last_resort_reads: str = ""
    """Only expire's: whether a provider may be asked for what it has not told."""
    poller: str = ""
    """Only submit's: the poll function cannot name the state machine that names it."""
    webhook_dead_letters_url: str = ""
    """Only deliver's and admin's."""
    webhook_queue_url: str = ""
    """Only deliver's, webhooks' and admin's."""
    webhook_schedule: str = ""
    """Only deliver's: seconds to wait after each attempt that has failed, by commas."""
    webhooks_table: str = ""
    """Only deliver's and webhooks'."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings in `environment`. Raises `SettingsMissing`, which names all that is missing."""
        names = {field.name: field.name.upper() for field in fields(cls)}
        required = [names[field.name] for field in fields(cls) if field.default is MISSING]
        if missing := [name for name in required if name not in environment]:
            raise SettingsMissing(f"Not set in the environment: {', '.join(missing)}")
        return cls(**{field: environment[name] for field, name in names.items() if name in environment})


@cache
def settings() -> Settings:
    """This function's settings."""
    return Settings.read(os.environ)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@cache
def tasks() -> "Tasks":
    """The task store."""
    from pixhook.aws.accounts import Ledger
    from pixhook.aws.tasks import Tasks

    return Tasks(
        client("dynamodb"),
        settings().tasks_table,
        Ledger(settings().accounts_table),
        timedelta(days=int(settings().retention_days)),
    )


@cache
def accounts() -> "Accounts":
    """The account store."""
    from pixhook.aws.accounts import Accounts

    return Accounts(client("dynamodb"), settings().accounts_table)


@cache
def outcomes() -> "Outcomes":
    """The outcome queue."""
    from pixhook.aws.outcomes import Outcomes

    return Outcomes(client("sqs"), lambda: client("s3"), settings().finish_queue_url, settings().images_bucket)


@cache
def deadlines() -> "Deadlines":
    """The deadline queue."""
    from pixhook.aws.deadlines import Deadlines

    return Deadlines(client("sqs"), settings().deadline_queue_url)


@cache
def pollers() -> "Pollers":
    """What starts pollers."""
    from pixhook.aws.pollers import Pollers

    return Pollers(lambda: client("stepfunctions"), settings().poller)


@cache
def webhooks() -> "Webhooks":
    """The webhook store."""
    from pixhook.aws.webhooks import Webhooks

    return Webhooks(client("dynamodb"), settings().webhooks_table, timedelta(days=int(settings().retention_days)))


@cache
def deliveries() -> "Deliveries":
    """The queues of webhooks."""
    from pixhook.aws.deliveries import Deliveries

    own = settings()
    return Deliveries(client("sqs"), own.webhook_queue_url, own.attempt_queue_url, own.webhook_dead_letters_url)


@cache
def dead_letters() -> "DeadLetters":
    """The dead-letter queues."""
    from pixhook.aws.dead_letters import DeadLetters

    own = settings()
    queues = {
        "finish": (own.finish_dead_letters_url, own.finish_queue_url),
        "deadlines": (own.deadline_dead_letters_url, own.deadline_queue_url),
        "webhooks": (own.webhook_dead_letters_url, own.webhook_queue_url),
        "attempts": (own.attempt_dead_letters_url, own.attempt_queue_url),
    }
    return DeadLetters(client("sqs"), queues)


@cache
def images() -> "Images":
    """The image store."""
    from pixhook.aws.images import Images

    return Images(client("s3"), settings().images_bucket)


@cache
def uploads() -> "Uploads":
    """The upload store."""
    from pixhook.aws.uploads import Uploads

    return Uploads(client("s3"), settings().images_bucket)


@cache
def secrets() -> "Secrets":
    """The secrets."""
    from pixhook.aws.secrets import Secrets

    return Secrets(client("secretsmanager"), settings().providers_secret, settings().callback_keys_secret)


@cache
def address_guard() -> "AddressGuard":
    """Where images may come from, and webhooks go to."""
    from pixhook.addresses import AddressGuard

    return AddressGuard([host for host in settings().admitted_hosts.split(",") if host])


@cache
def submitter() -> "Submitter":
    """What submits requests."""
    from pixhook.aws.breakers import Breakers
    from pixhook.flows.submit import Submitter
    from pixhook.flows.uploads import with_urls
    from pixhook.http import HttpSender

    return Submitter(
        tasks=tasks(),
        outcomes=outcomes(),
        pollers=pollers(),
        deadlines=deadlines(),
        breakers=Breakers(client("dynamodb"), settings().breakers_table),
        send=HttpSender(),
        clock=now,
        sleep=sleep,
        with_urls=lambda request, account_id: with_urls(request, account_id, uploads),
    )


@cache
def status_reader() -> "Callable[[Task], StatusRead]":
    """What reads a task's status from its provider; the provider's key is looked up when there is something to read."""
    from pixhook.flows.status import read_status
    from pixhook.http import HttpSender

    send = HttpSender()
    return lambda task: read_status(task, credentials=secrets().credentials(), send=send)


@cache
def finisher() -> "Finisher":
    """What ends tasks."""
    from pixhook.aws.events import Events
    from pixhook.flows.finish import Finisher
    from pixhook.http import GuardedClient, ImageFetcher

    return Finisher(
        outcomes=outcomes(),
        tasks=tasks(),
        images=images(),
        events=Events(client("events"), settings().event_bus),
        fetch=ImageFetcher(GuardedClient(address_guard())),
        read_status=status_reader(),
        clock=now,
    )


@cache
def deliverer() -> "Deliverer":
    """What delivers webhooks."""
    from random import random

    from pixhook.flows.deliver import Deliverer
    from pixhook.http import GuardedClient, WebhookSender

    return Deliverer(
        tasks=tasks(),
        webhooks=webhooks(),
        queues=deliveries(),
        send=WebhookSender(GuardedClient(address_guard())),
        clock=now,
        random=random,
        schedule=[int(seconds) for seconds in settings().webhook_schedule.split(",")],
    )


@cache
def webhook_manager() -> "WebhookManager":
    """An account's webhooks, as its holder manages them."""
    from pixhook.flows.webhooks import WebhookManager

    return WebhookManager(webhooks=webhooks(), queues=deliveries(), guard=address_guard(), clock=now)


def public_base_url(context: "APIGatewayEventRequestContext") -> str:
    """Where the API is for the outside: as configured, else where this very request has come in."""
    configured = settings().public_base_url
    if configured:
        return configured
    path = context.path.rstrip("/")
    if not path.endswith(context.resource_path):
        raise SettingsMissing(f"PublicBaseUrl has to be set: {path} does not tell where the API is")
    return f"https://{context.domain_name}{path.removesuffix(context.resource_path)}"
