"""Reads prototxt files."""

from __future__ import annotations

import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from netc.diagnostics import NetcError, Source
from netc.files import check_regular, read_bytes, reason_of

MAX_BYTES = 64 << 20
"""Maximum size of a prototxt; the largest known one has three megabytes."""


_ESCAPED = "\a\b\f\n\r\t\v"
"""What a backslash and a letter of a Windows path become in the string of a prototxt."""
_WITH_SLASHES = "in a prototxt a backslash starts an escape sequence: write paths with slashes"


def read_source(path: str | os.PathLike[str]) -> Source:
    """Read a prototxt. Line endings and byte order mark are kept; invalid UTF-8 is decoded to lone surrogates.

    Raises NetcError E001 for a file that is missing, unreadable, binary, UTF-16, or larger than 64 MiB.
    """
    name = os.fspath(path)
    try:
        size = check_regular(name)
        if size > MAX_BYTES:
            note = f"{size:,} bytes, the limit is {MAX_BYTES:,}"
            raise NetcError(f"`{name}` is too large for a prototxt", code="E001", notes=[note])
        data = read_bytes(name, MAX_BYTES)
    except NetcError:
        raise
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason, advice = reason_of(error), _WITH_SLASHES if any(c in _ESCAPED for c in name) else None
        raise NetcError(f"cannot read `{name}`: {reason}", code="E001", missing=missing, help=advice) from error
    except ValueError as error:  # a null character in the name
        raise NetcError(f"cannot read `{name}`: {error}", code="E001") from error
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise NetcError(f"`{name}` is UTF-16 text", code="E001", help="save the file as UTF-8")
    if b"\0" in data:
        note = "a prototxt is text; weights (.caffemodel) and means (.binaryproto) are binary"
        raise NetcError(f"`{name}` is a binary file", code="E001", notes=[note])
    return Source(name, data.decode("utf-8", "surrogateescape"))
