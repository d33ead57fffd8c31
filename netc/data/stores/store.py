"""The interface of a key-value store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator

FIELD = "data_param.source"
"""The field of a data layer that names its database."""


class Store(Protocol):
    """Keys in order, and values by key, from many threads."""

    name: str

    def keys(self) -> Iterator[bytes]:
        """Every key, in order; iterated by one thread at a time."""

    def reading(self) -> contextlib.AbstractContextManager[Callable[[bytes], Any]]:
        """`get(key)`, whose views are valid until the context ends."""

    def check(self) -> None:
        """Check the structure that opening did not check. Raises NetcError E501."""

    def close(self) -> None:
        """Release files and environments."""
