"""What others repeat of our secrets, taken out of their words before those are read, logged, kept or shown."""

from collections.abc import Iterable

_SHORTEST_SECRET = 8
"""Characters. What is shorter stands in any text by chance."""


def redacted(body: bytes, secrets: Iterable[str]) -> bytes:
    """`body` with asterisks for each of `secrets`, also where JSON's optional escape stands before its slashes."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            for written in (secret, secret.replace("/", "\\/")):
                body = body.replace(written.encode(), b"***")
    return body
