"""What is deployed: the layers as built, and what they need when they run."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT, Stack
from tests.conftest import SETTINGS
from tests.e2e.conftest import Gateway

UNCHECKED_HASH = 1  # the flags of a .pyc that is valid whatever the time of its source (PEP 552)


@pytest.fixture
def build(stack: Stack, gateway: Gateway) -> Path:
    """The folder of what was built for the deployed stack."""
    del gateway  # it has built it
    return stack.folder / "sam" / "build"


@pytest.mark.parametrize("layer", ["DependenciesLayer", "PixhookLayer"])
def test_layers_ship_bytecode_that_stays_valid(build: Path, layer: str) -> None:
    sources = [path for path in (build / layer / "python").rglob("*.py") if not _is_template(path)]

    for source in sources:
        bytecode = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert bytecode.exists(), bytecode
        assert int.from_bytes(bytecode.read_bytes()[4:8], "little") == UNCHECKED_HASH, bytecode
    assert sources


@pytest.mark.parametrize("function", sorted(app.parent.name.title() for app in (ROOT / "functions").glob("*/app.py")))
def test_functions_run_with_nothing_but_their_layers(build: Path, function: str) -> None:
    """Without site-packages: a library that is missing in the layer is noticed here."""
    path = [
        build / f"{function}Function",
        *(build / layer / "python" for layer in ("DependenciesLayer", "PixhookLayer")),
    ]
    code = f"import sys; sys.path[:0] = {[str(place) for place in path]!r}; import app; app.handler"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code],
        env={**SETTINGS, "AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_SERVICE_NAME": "pixhook"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_a_large_image_needs_little_memory(gateway: Gateway, prompt: str) -> None:
    """50 MB go through a process that grows by less than half of them."""
    gateway.misbehave(prompt, result={"min_bytes": 50 * 1024 * 1024})
    task = gateway.submit(model="nano-banana-2", provider="apixo", prompt=prompt)
    assert gateway.ended(task["id"])["status"] == "completed"
    (submit,) = gateway.submits(prompt)
    (callback,) = gateway.callbacks(submit["task_id"])

    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "copy_and_measure.py", gateway.info.endpoint_url],
        input=callback["body"],
        env={"BUCKET": gateway.info.images_bucket, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 25 * 1024 * 1024


def _is_template(path: Path) -> bool:
    return "templates" in path.parts
