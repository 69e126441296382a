"""A bounded memory, so that a simulator left running for days stays small."""

from collections.abc import Callable, Hashable, Iterator


class Recent[K: Hashable, V]:
    """The most recent values by key; the oldest are given up when they are too many or too heavy.

    `limit` counts values, `weight_limit` adds up the weights given with them, and `on_drop` hears of each
    value that leaves. The newest value always stays, however heavy.
    """

    def __init__(self, limit: int, weight_limit: int, on_drop: Callable[[V], None] | None = None) -> None:
        self._limit = limit
        self._weight_limit = weight_limit
        self._on_drop = on_drop
        self._values: dict[K, tuple[V, int]] = {}
        self._weight = 0

    def put(self, key: K, value: V, weight: int = 0) -> None:
        """Keep the value; one that replaces another keeps its place."""
        _, previous = self._values.get(key, (None, 0))
        self._values[key] = (value, weight)
        self._weight += weight - previous
        while len(self._values) > self._limit or (self._weight > self._weight_limit and len(self._values) > 1):
            self._drop(next(iter(self._values)))

    def get(self, key: K) -> V | None:
        return self._values[key][0] if key in self._values else None

    def clear(self) -> None:
        for key in list(self._values):
            self._drop(key)

    def __iter__(self) -> Iterator[V]:
        return (value for value, _ in self._values.values())

    def _drop(self, key: K) -> None:
        value, weight = self._values.pop(key)
        self._weight -= weight
        if self._on_drop is not None:
            self._on_drop(value)
