"""Every recorded case in tests/reference/caffe2: what Caffe2 itself computed, forward and backward.

A case is a folder with `net.pbtxt`, `inputs.npz` (every external input) and `outputs.npz` (every blob that the net
writes, by name); `gradients.npz`, if there, holds upstream gradients as `dY__<blob>` and Caffe2's gradients as
`dX__<blob>`. The integers of a quantized blob are stored as `<blob>__data`, along with its scale and zero point.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc

CASES = sorted((Path(__file__).parents[2] / "reference" / "caffe2").glob("*/net.pbtxt"))


def arrays(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}


def check(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape, name
    assert (found.dtype.kind in "iub") == (expected.dtype.kind in "iub"), name
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0) if expected.dtype.kind == "f" else 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 + 1e-5 * largest, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.parent.name)
def test_outputs(case):
    expected = {
        name.removesuffix("__data"): array
        for name, array in arrays(case.parent / "outputs.npz").items()
        if not name.endswith(("__scale", "__zero_point"))
    }
    found = netc.load(case).run(arrays(case.parent / "inputs.npz"), list(expected))
    for name, array in expected.items():
        check(name, found[name], array)


@pytest.mark.parametrize(
    "case", [case for case in CASES if (case.parent / "gradients.npz").exists()], ids=lambda path: path.parent.name
)
def test_gradients(case):
    expected = arrays(case.parent / "gradients.npz", "dX__")
    upstream = arrays(case.parent / "gradients.npz", "dY__")
    found = netc.load(case).gradients(arrays(case.parent / "inputs.npz"), upstream, list(expected))
    for name, array in expected.items():
        check(name, found[name], array)
