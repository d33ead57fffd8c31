"""The constants and initial weights of layers that files hold: .binaryproto, or numbers as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.files import read_bytes, reason_of
from netc.weights.binaryproto import read_blob

if TYPE_CHECKING:
    from pathlib import Path

    from netc.weights.blobs import Array


def read_constant(path: Path, is_text: bool, column: int | None = None) -> Array:
    """Return the array in a file; of a text file all numbers, or those of a column.

    Raises NetcError E401 to E406 for a .binaryproto, E501 for a text file.
    """
    if column is not None:
        return read_column(path, column)
    return read_numbers(path) if is_text else read_blob(path)


def read_column(path: Path, column: int) -> Array:
    """Return the number in a column, from 0, of each line of a text file that is not empty.

    Raises NetcError E501 if it cannot be read, and for a line without the number.
    """
    import numpy as np

    try:
        lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise NetcError(f"cannot read `{path}`: {reason_of(error)}", code="E501") from None
    numbers: list[int] = []
    for number, line in enumerate(lines, 1):
        if words := line.split():
            try:
                numbers.append(int(words[column]))
            except (ValueError, IndexError):
                message = f"line {number} of `{path}` has no integer as its word {column + 1}"
                raise NetcError(message, code="E501") from None
    return np.array(numbers, np.float32)


def read_numbers(path: Path) -> Array:
    """Return the numbers at the beginning of a text file. Raises NetcError E501 if it cannot be read."""
    import numpy as np

    numbers: list[float] = []
    try:
        for word in path.read_text().split():
            numbers.append(float(word))
    except OSError as error:
        raise NetcError(f"cannot read `{path}`: {error.strerror}", code="E501") from None
    except ValueError:  # as a stream does, reading stops there
        pass
    return np.array(numbers, np.float32)
