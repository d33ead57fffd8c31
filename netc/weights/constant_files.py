"""The constants and initial weights of layers that files hold: .binaryproto, or numbers as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.weights.binaryproto import read_blob

if TYPE_CHECKING:
    from pathlib import Path

    from netc.weights.blobs import Array


def read_constant(path: Path, is_text: bool) -> Array:
    """Return the array in a file. Raises NetcError E401 to E406 for a .binaryproto, E501 for a text file."""
    return read_numbers(path) if is_text else read_blob(path)


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
