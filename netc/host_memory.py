"""The memory of this machine, by which allocations are refused before the system ends the process.

available_memory()       bytes, None where it is unknown
excess(bytes)            for a message about an allocation that exceeds it; None for one that does not
in_units(bytes)          for a message
memory_errors()          turns exceptions of NumPy and torch about memory into diagnostics
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup/memory.max")
"""The limit of a container."""
SMALL = 1 << 26
"""Bytes that are allocated without asking."""


def available_memory() -> int | None:
    """Bytes that programs can still allocate, within the limit of a container; None where the system does not say."""
    limits = [limit for limit in (_free(), _container()) if limit is not None]
    return min(limits, default=None)


def _free() -> int | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = (line.partition(":") for line in MEMINFO.read_text().splitlines())
        kilobytes = {name: int(value.split()[0]) for name, _, value in lines if value.split()}
        return (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0)) << 10
    return None


def _container() -> int | None:
    with contextlib.suppress(OSError, ValueError):  # `max` means unlimited
        return int(CGROUP.read_text())
    return None


def excess(size: int) -> str | None:
    """The size of an allocation and of the memory, as part of a sentence; None if the allocation does not exceed it."""
    available = available_memory() if size > SMALL else None
    if available is None or size <= available:
        return None
    return f"{in_units(size)}, more than the {in_units(available)} of memory available"


def in_units(size: int) -> str:
    """A number of bytes, rounded.

    >>> in_units(4931715072), in_units(2_500_000), in_units(812)
    ('4.9 GB', '2.5 MB', '812 bytes')
    """
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


_REFUSED = re.compile(r"(?:[Tt]ried|[Uu]nable) to allocate ([\d.]+ \w+)")
"""Words of NumPy, of torch's allocator on CPUs and of that on GPUs."""


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raise NetcError E311, with what was requested, if memory runs out in the block, on a CPU or a GPU."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        asked = _REFUSED.search(str(error))
        if asked is None and not isinstance(error, MemoryError):
            raise
        where = " of the GPU" if "CUDA" in str(error) else ""
        size = _size(asked[1]) if asked else ""
        message = f"the memory{where} does not suffice" + (f": {size} were requested" if size else "")
        raise NetcError(message, code="E311", help="reduce the batch size, or the size of the inputs") from error


def _size(words: str) -> str:
    """A library's amount, in units."""
    number, unit = words.split()
    return in_units(int(number)) if unit == "bytes" else words
