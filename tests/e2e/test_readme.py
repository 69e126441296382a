"""The README's example, pasted as it is into a shell."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from PIL import Image as Picture

from local.stack import ROOT, Stack
from tests.e2e.conftest import Gateway


def test_the_example_works(stack: Stack, gateway: Gateway, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- example -->\n```sh\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    (tmp_path / ".local").mkdir()
    shutil.copy(stack.folder / "env", tmp_path / ".local" / "env")

    done = subprocess.run(
        ["bash", "-euc", found[1]], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    with Picture.open(tmp_path / "fox.png") as picture:
        assert picture.width > picture.height
    last = json.loads(done.stdout[done.stdout.rindex('{"id"') :])
    assert last["provider"] == "defapi"
    gateway.ended(last["id"])
