"""The README's examples, pasted as they are into a shell."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image as Picture

from local.stack import ROOT, Stack
from tests.e2e.conftest import Gateway


@pytest.fixture
def folder(stack: Stack, gateway: Gateway, tmp_path: Path) -> Path:
    """Where somebody stands who has just started the stack."""
    (tmp_path / ".local").mkdir()
    shutil.copy(stack.folder / "env", tmp_path / ".local" / "env")
    return tmp_path


def block(name: str) -> str:
    """The shell commands behind this mark."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def output_of(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_example_works(gateway: Gateway, folder: Path) -> None:
    output = output_of(block("example"), folder)

    with Picture.open(folder / "fox.png") as picture:
        assert picture.width > picture.height
    assert '"balance":' in output
    last = json.loads(output[output.rindex('{"id"') :])
    assert last["provider"] == "defapi"
    gateway.ended(last["id"])


def test_operators_commands_work(folder: Path) -> None:
    define, *commands = block("admin").strip().splitlines()
    known = {"acc_...": "", "key_...": ""}
    for command in filter(None, commands):
        for placeholder, value in known.items():
            command = command.replace(placeholder, value)
        output = output_of(f"source .local/env\n{define}\n{command}", folder)
        result = json.loads(output[output.rindex("{") :])
        known["acc_..."] = result.get("account_id", known["acc_..."])
        known["key_..."] = result.get("key_id", known["key_..."])
    assert all(known.values())
