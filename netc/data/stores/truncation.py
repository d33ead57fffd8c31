"""Notices files that become shorter while a library reads them through memory maps.

The system ends a process that reads beyond the end of a mapped file.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from netc.data.stores.store import FIELD
from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE = 64
"""Files whose sizes are checked before a batch is read."""
PAUSE = 100
"""Time between two checks of `check_at_times`, as a multiple of the time of a check."""


class MappedFile(NamedTuple):
    """A file that a library has mapped."""

    file: str | int
    """Its path or descriptor."""
    size: int
    """Bytes that the library may read."""
    name: str
    """What it is, for a message: "LMDB `train_lmdb`"."""


class TruncationCheck:
    """Checks that no file of a database has become shorter; several threads may use it."""

    def __init__(self, files: Sequence[MappedFile]) -> None:
        self._count = min(AT_ONCE, len(files))
        self._turn = itertools.cycle(files)
        self._next = 0.0

    def check(self) -> None:
        """Check the next files in turn: all of a small database, a part of a large one.

        Raises NetcError E501 for a file that is shorter than it was, or missing.
        """
        for file, size, name in itertools.islice(self._turn, self._count):
            try:
                found = os.stat(file).st_size  # noqa: PTH116 - in a fourth of the time of Path.stat
            except OSError as error:
                raise NetcError(f"{name} cannot be read: {reason_of(error)}", code="E501", field=FIELD) from None
            if found < size:
                raise NetcError(f"{name} is truncated: {found} bytes of {size}", code="E501", field=FIELD)

    def check_at_times(self) -> None:
        """Check before a record is read, unless a check was made just now. Raises NetcError E501 as `check` does."""
        started = time.monotonic()
        if started >= self._next:
            self.check()
            ended = time.monotonic()
            self._next = ended + PAUSE * (ended - started)
