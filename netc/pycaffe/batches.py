"""Splits arrays of any length into batches of a net's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray


def batches(arrays: Mapping[str, Any], size: int) -> Iterator[dict[str, NDArray[Any]]]:
    """The arrays, split along their first axis; the last batch is padded with zeros.

    >>> [batch["x"].tolist() for batch in batches({"x": [1, 2, 3]}, 2)]
    [[1, 2], [3, 0]]
    """
    arrays_by_name = {name: np.asarray(array) for name, array in arrays.items()}
    for start in range(0, max(map(len, arrays_by_name.values()), default=0), size):
        yield {name: _padded(array[start : start + size], size) for name, array in arrays_by_name.items()}


def trimmed(results: Sequence[Mapping[str, NDArray[Any]]], count: int) -> dict[str, NDArray[Any]]:
    """The results of all batches, concatenated, without what was computed from padding.

    A result without axes, such as a loss, becomes one element per batch.
    """
    joined = {name: np.concatenate([np.atleast_1d(batch[name]) for batch in results]) for name in results[0]}
    return {name: array[:count] for name, array in joined.items()}


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array
