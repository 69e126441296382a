"""The secrets are read in time, and a mistake in them is told without telling them."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from local.waiting import wait_until
from pixhook.aws import secrets
from pixhook.aws.secrets import Secrets
from pixhook.errors import SecretMisconfigured, StoreUnavailable
from pixhook.model import Credential, Json

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEY = "sk-live-1"


@pytest.fixture
def store() -> Iterator["SecretsManagerClient"]:
    with mock_aws():
        client = boto3.client("secretsmanager")
        client.create_secret(Name="providers", SecretString="{}")
        client.create_secret(Name="callback-keys", SecretString="{}")
        yield client


def _secrets(store: "SecretsManagerClient") -> Secrets:
    return Secrets(store, "providers", "callback-keys")


def _put(store: "SecretsManagerClient", name: str, value: Json) -> None:
    store.put_secret_value(SecretId=name, SecretString=json.dumps(value))


def test_a_provider_has_the_credential_stored_for_it(store: "SecretsManagerClient") -> None:
    _put(store, "providers", {"apixo": {"api_key": KEY}, "defapi": {"api_key": "k", "base_url": "http://sim:1"}})
    assert _secrets(store).credentials() == {
        "apixo": Credential(api_key=KEY),
        "defapi": Credential(api_key="k", base_url="http://sim:1"),
    }


@pytest.mark.parametrize(
    "entry", [{}, {"api_key": ""}, {"api_key": None}, {"base_url": "https://api.example"}], ids=json.dumps
)
def test_a_provider_without_a_key_is_left_out(store: "SecretsManagerClient", entry: Json) -> None:
    _put(store, "providers", {"apixo": entry, "defapi": {"api_key": KEY}})
    assert list(_secrets(store).credentials()) == ["defapi"]


@pytest.mark.parametrize("base_url", ["", None])
def test_an_empty_base_url_is_none(store: "SecretsManagerClient", base_url: str | None) -> None:
    _put(store, "providers", {"apixo": {"api_key": KEY, "base_url": base_url}})
    assert _secrets(store).credentials() == {"apixo": Credential(api_key=KEY)}


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (" ", "providers is not JSON"),
        (KEY, "providers is not JSON"),
        (f'{{"apixo": {{"api_key": "{KEY}"}}', "providers is not JSON"),
        (f'["{KEY}"]', "providers is not a JSON object"),
        (f'"{KEY}"', "providers is not a JSON object"),
        ("null", "providers is not a JSON object"),
        (f'{{"apixo": "{KEY}"}}', "no object under 'apixo'"),
        (f'{{"apixo": ["{KEY}"]}}', "no object under 'apixo'"),
        ('{"apixo": null}', "no object under 'apixo'"),
        (f'{{"apixo": {{"api_key": ["{KEY}"]}}}}', "no text under apixo.api_key"),
        ('{"apixo": {"api_key": 7}}', "no text under apixo.api_key"),
        ('{"apixo": {"api_key": false}}', "no text under apixo.api_key"),
        ('{"apixo": {"api_key": []}}', "no text under apixo.api_key"),
        (f'{{"apixo": {{"api_key": "{KEY}", "base_url": 7}}}}', "no text under apixo.base_url"),
        (f'{{"apixo": {{"api_key": "{KEY}", "base_url": "api.example"}}}}', "no http(s) URL under apixo.base_url"),
        (f'{{"apixo": {{"api_key": "{KEY}", "base_url": "ftp://{KEY}"}}}}', "no http(s) URL under apixo.base_url"),
    ],
)
def test_a_mistake_in_the_providers_secret_is_told_without_its_keys(
    store: "SecretsManagerClient", stored: str, message: str
) -> None:
    store.put_secret_value(SecretId="providers", SecretString=stored)
    with pytest.raises(SecretMisconfigured) as told:
        _secrets(store).credentials()
    assert message in str(told.value)
    assert KEY not in str(told.value)


@pytest.mark.parametrize(
    ("stored", "keys"),
    [
        ({"primary": "new"}, ["new"]),
        ({"primary": "new", "secondary": "old"}, ["new", "old"]),
        ({"secondary": "old", "primary": "new"}, ["new", "old"]),
        ({"primary": "new", "secondary": ""}, ["new"]),
        ({"primary": "new", "secondary": None}, ["new"]),
    ],
    ids=json.dumps,
)
def test_the_primary_callback_key_is_first(store: "SecretsManagerClient", stored: Json, keys: list[str]) -> None:
    _put(store, "callback-keys", stored)
    assert _secrets(store).callback_keys() == keys


@pytest.mark.parametrize(
    ("stored", "place"),
    [
        ({}, "'primary'"),
        ({"primary": ""}, "'primary'"),
        ({"primary": None, "secondary": KEY}, "'primary'"),
        ({"primary": [KEY]}, "'primary'"),
        ({"primary": KEY, "secondary": [KEY]}, "'secondary'"),
        ([KEY], "callback-keys is not a JSON object"),
    ],
    ids=json.dumps,
)
def test_a_mistake_in_the_callback_keys_is_told_without_them(
    store: "SecretsManagerClient", stored: Json, place: str
) -> None:
    _put(store, "callback-keys", stored)
    with pytest.raises(SecretMisconfigured) as told:
        _secrets(store).callback_keys()
    assert place in str(told.value)
    assert KEY not in str(told.value)


def test_a_young_value_is_not_read_again(store: "SecretsManagerClient") -> None:
    read = _secrets(store)
    before = read.credentials()
    _put(store, "providers", {"apixo": {"api_key": KEY}})
    assert read.credentials() == before


def test_an_old_value_is_read_again(store: "SecretsManagerClient", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "MAX_AGE_SECONDS", 0.01)
    read = _secrets(store)
    assert not read.credentials()
    _put(store, "providers", {"apixo": {"api_key": KEY}})
    assert wait_until(lambda: "apixo" in read.credentials(), seconds=5, every=0.01)


def test_a_mistake_is_over_once_it_is_corrected(store: "SecretsManagerClient", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "MAX_AGE_SECONDS", 0)
    read = _secrets(store)
    _put(store, "providers", [])
    with pytest.raises(SecretMisconfigured):
        read.credentials()
    _put(store, "providers", {"apixo": {"api_key": KEY}})
    assert read.credentials() == {"apixo": Credential(api_key=KEY)}


def test_a_missing_secret_is_the_operators_mistake(store: "SecretsManagerClient") -> None:
    store.delete_secret(SecretId="providers", ForceDeleteWithoutRecovery=True)
    with pytest.raises(SecretMisconfigured):
        _secrets(store).credentials()


def test_a_secret_that_cannot_be_read_now_may_be_later(store: "SecretsManagerClient") -> None:
    store.delete_secret(SecretId="providers", RecoveryWindowInDays=7)
    with pytest.raises(StoreUnavailable):
        _secrets(store).credentials()


def test_last_known_secret_is_used_while_it_cannot_be_read(
    store: "SecretsManagerClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or an outage of Secrets Manager would cost callbacks, which come a few times only."""
    monkeypatch.setattr(secrets, "MAX_AGE_SECONDS", 0)
    _put(store, "callback-keys", {"primary": "old"})
    reader = _secrets(store)
    assert reader.callback_keys() == ["old"]

    def refuse(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://aws.example")

    with monkeypatch.context() as outage:
        outage.setattr(store, "get_secret_value", refuse)
        assert reader.callback_keys() == ["old"]
    _put(store, "callback-keys", {"primary": "new"})
    assert reader.callback_keys() == ["new"]
