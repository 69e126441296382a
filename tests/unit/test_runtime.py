"""What the template tells a function arrives, and what it forgot is named."""

from dataclasses import MISSING, fields, replace

import pytest
from aws_lambda_powertools.utilities.data_classes.api_gateway_proxy_event import APIGatewayEventRequestContext

from pixhook import runtime
from pixhook.api import resource_path
from pixhook.runtime import Settings, SettingsMissing, public_base_url

NAMES = [field.name for field in fields(Settings) if field.default is MISSING]
ENVIRONMENT = {name.upper(): f"the {name}" for name in NAMES}


def test_settings_are_read_by_their_names_in_capitals() -> None:
    settings = Settings.read({**ENVIRONMENT, "AWS_REGION": "eu-central-1"})
    assert {name: getattr(settings, name) for name in NAMES} == {name: f"the {name}" for name in NAMES}
    assert Settings.read({**ENVIRONMENT, "POLLER": "an arn"}).poller == "an arn"


def test_a_setting_may_be_empty() -> None:
    assert Settings.read({**ENVIRONMENT, "PUBLIC_BASE_URL": ""}).public_base_url == ""


@pytest.mark.parametrize("missing", [NAMES[:1], NAMES[-1:], NAMES[2:5], NAMES], ids=len)
def test_all_that_is_missing_is_named_at_once(missing: list[str]) -> None:
    capitals = [name.upper() for name in missing]
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in capitals}
    with pytest.raises(SettingsMissing) as told:
        Settings.read(environment)
    assert str(told.value).endswith(f": {', '.join(capitals)}")


def a_context(path: str) -> APIGatewayEventRequestContext:
    """What API Gateway says of a POST /images that came in under this path."""
    return APIGatewayEventRequestContext({"domainName": "api.example", "path": path, "resourcePath": "/images"})


@pytest.fixture
def no_public_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(Settings.read(ENVIRONMENT), public_base_url="")
    monkeypatch.setattr(runtime, "settings", lambda: settings)


@pytest.mark.usefixtures("no_public_base_url")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/images", "https://api.example/v1"),
        ("/v1/images/", "https://api.example/v1"),
        ("/images", "https://api.example"),
        ("/pix/images", "https://api.example/pix"),
        ("/images/images", "https://api.example/images"),
    ],
)
def test_api_is_where_the_request_came_in(path: str, expected: str) -> None:
    assert public_base_url(a_context(path)) == expected


@pytest.mark.usefixtures("no_public_base_url")
def test_address_that_cannot_be_told_is_not_guessed() -> None:
    with pytest.raises(SettingsMissing, match="PublicBaseUrl"):
        public_base_url(a_context("/v1/pictures"))


@pytest.mark.parametrize(
    ("resource", "parameters", "expected"),
    [
        ("/images", None, "/images"),
        ("/images/{id}/files/{n}", {"id": "tsk_1", "n": "0"}, "/images/tsk_1/files/0"),
        ("/images/{id}", {"id": "tsk_1/files/0\n"}, "/images/tsk_1%2Ffiles%2F0%0A"),
        ("/callbacks/{proxy+}", {"proxy": "apixo/tsk_1/mac"}, "/callbacks/apixo/tsk_1/mac"),
    ],
)
def test_path_is_the_templates_whatever_the_domain_puts_before_it(
    resource: str, parameters: dict[str, str] | None, expected: str
) -> None:
    event = {"resource": resource, "pathParameters": parameters, "path": f"/a-base-path{expected}/"}
    assert resource_path(event) == expected
