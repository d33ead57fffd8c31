"""Several stores as one: their records alternate."""

from __future__ import annotations

import contextlib
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from netc.data.stores.store import Store


class JoinedStore:
    """The records of several stores in turn, each once; `skips` is the index of the first record of each store.

    Records before the first come last. A key is the number of the store, a colon and the store's key.
    """

    def __init__(self, stores: Sequence[Store], skips: Sequence[int]) -> None:
        self.name = " + ".join(store.name for store in stores)
        self._stores, self._skips = tuple(stores), tuple(skips)

    def keys(self) -> Iterator[bytes]:
        """See Store."""
        rest = {
            number: _from(store.keys(), skip) for number, (store, skip) in enumerate(zip(self._stores, self._skips))
        }
        while rest:
            for number, keys in tuple(rest.items()):
                key = next(keys, None)
                if key is None:
                    del rest[number]
                else:
                    yield b"%d:%s" % (number, key)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[bytes], Any]]:
        """See Store."""
        with contextlib.ExitStack() as stack:
            gets = [stack.enter_context(store.reading()) for store in self._stores]

            def get(key: bytes) -> Any:
                number, _, own = key.partition(b":")
                return gets[int(number)](own)

            yield get

    def check(self) -> None:
        """See Store."""
        for store in self._stores:
            store.check()

    def close(self) -> None:
        """Close all stores."""
        for store in self._stores:
            store.close()


def _from(keys: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """The keys from index `skip` on, modulo their number, then those before."""
    before = list(islice(keys, skip))
    if len(before) == skip:
        return chain(keys, before)
    start = skip % max(len(before), 1)
    return iter(before[start:] + before[:start])
