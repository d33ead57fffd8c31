"""The contract of a key-value store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol


class Store(Protocol):
    """Keys in order, and values by key from many threads."""

    name: str

    def keys(self) -> Iterator[bytes]:
        """Every key, in order; asked by one thread at a time."""

    def reading(self) -> contextlib.AbstractContextManager[Callable[[bytes], Any]]:
        """`get(key)`, whose views live until the context ends."""

    def check(self) -> None:
        """Look at the whole structure for what reading would stumble over. Raises NetcError E501."""

    def close(self) -> None:
        """Give back what is open."""
