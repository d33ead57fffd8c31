"""Files that verbs read and write; `-` is standard input and output."""

from __future__ import annotations

import sys

from netc.diagnostics import NetcError, Source, visible
from netc.files import reason_of
from netc.text import MAX_BYTES, read_source


def read_input(name: str) -> Source:
    """Read the text of a file or of standard input. Raises NetcError E001 if it cannot be read or is not text."""
    if name != "-":
        source = read_source(name)
        _refuse_binary(name, source.text)
        return source
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise NetcError(f"cannot read standard input: {reason_of(error)}", code="E001") from None
    if len(data) > MAX_BYTES:
        note = f"more than {MAX_BYTES:,} bytes"
        raise NetcError("standard input is too large for a prototxt", code="E001", notes=[note])
    if b"\0" in data:
        raise NetcError("standard input is binary", code="E001", notes=["a prototxt is text"])
    return Source("<stdin>", data.decode("utf-8", "surrogateescape"))


def _refuse_binary(name: str, text: str) -> None:
    """Raise NetcError E001 for a binary net, which may be short enough not to have a byte of zeros."""
    if all(character >= " " or character in "\t\n\r\f\v\b\x1b" for character in text[:4096]):
        return
    from netc.weights.file_type import NAMES, content

    found = content(memoryview(text.encode("utf-8", "surrogateescape")))
    if found not in ("text", "unknown"):
        raise NetcError(f"`{name}` is {NAMES[found]} in binary format, expected text", code="E001")


def write_output(name: str, text: str) -> None:
    """Write a text byte for byte, to a file (atomically) or to standard output. Raises NetcError E408.

    On a terminal control characters are escaped.
    """
    data = text.encode("utf-8", "surrogateescape")
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(visible(text, keep="\n\t").encode() if sys.stdout.isatty() else data)
        sys.stdout.buffer.flush()
        return
    from netc.weights.atomic import atomic_write  # imports NumPy, which reading does not need

    with atomic_write(name) as file:
        file.write(data)
