"""What the template tells a function arrives, and what it forgot is named."""

from dataclasses import asdict, fields

import pytest

from pixhook.runtime import Settings, SettingsMissing

NAMES = [field.name for field in fields(Settings)]
ENVIRONMENT = {name.upper(): f"the {name}" for name in NAMES}


def test_settings_are_read_by_their_names_in_capitals() -> None:
    settings = Settings.read({**ENVIRONMENT, "AWS_REGION": "eu-central-1"})
    assert asdict(settings) == {name: f"the {name}" for name in NAMES}


def test_a_setting_may_be_empty() -> None:
    assert Settings.read({**ENVIRONMENT, "PUBLIC_BASE_URL": ""}).public_base_url == ""


@pytest.mark.parametrize("missing", [NAMES[:1], NAMES[-1:], NAMES[2:5], NAMES], ids=len)
def test_all_that_is_missing_is_named_at_once(missing: list[str]) -> None:
    capitals = [name.upper() for name in missing]
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in capitals}
    with pytest.raises(SettingsMissing) as told:
        Settings.read(environment)
    assert str(told.value).endswith(f": {', '.join(capitals)}")
