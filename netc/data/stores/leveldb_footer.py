"""The footer of a LevelDB table, checked before the library follows it.

It has no checksum: LevelDB allocates as many bytes as a damaged footer specifies, and the process ends with
`std::bad_alloc` or a segmentation fault. Format: google/leveldb, doc/table_format.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.files import open_regular
from netc.weights.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

FOOTER = 48
"""Bytes: the handles of two blocks, padding, and a magic number."""
TRAILER = 5
"""Bytes after each block: how it is compressed, and its checksum."""


def footer_is_sound(table: Path) -> bool:
    """Whether both blocks that the footer names lie within the file. Raises OSError for a file that cannot be read."""
    with open_regular(table) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER))
        footer = Wire(memoryview(file.read()), table.name)
    at, end = 0, len(footer.data)
    try:
        for _ in range(2):
            offset, at = footer.varint(at, end)
            length, at = footer.varint(at, end)
            if offset + length + TRAILER > size:
                return False
    except NetcError:  # a number that does not end
        return False
    return True
