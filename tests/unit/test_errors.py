"""The drawing of the error tree is the tree."""

import re

from pixhook import errors


def _drawn(text: str) -> dict[str, str]:
    """Parent by child, as the module's docstring draws them: each level is four columns further in."""
    ancestors = ["PixhookError"]
    parents: dict[str, str] = {}
    for line in re.findall(r"^ {4}([ │]*[├└]── \w+)", text, re.MULTILINE):
        branch, _, name = line.rpartition("── ")
        depth = len(branch) // 4 + 1
        ancestors[depth:] = [name]
        parents[name] = ancestors[depth - 1]
    return parents


def _defined(kind: type[Exception]) -> dict[str, str]:
    """Parent by child, as the classes are."""
    parents: dict[str, str] = {}
    for child in kind.__subclasses__():
        parents |= {child.__name__: kind.__name__, **_defined(child)}
    return parents


def test_the_tree_is_drawn_as_it_is() -> None:
    assert _drawn(errors.__doc__ or "") == _defined(errors.PixhookError)
