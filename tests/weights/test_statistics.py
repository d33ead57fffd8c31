import numpy as np
import pytest

from netc.weights import BlobArray
from netc.weights.statistics import CHUNK, statistics
from tests.weights.fixtures import array


def test_agrees_with_numpy_over_several_chunks():
    values = array(CHUNK + 1, 3)
    values[0, 0] = np.nan
    values[-1, -1] = 0
    found = statistics(values)
    wide = values.astype(np.float64)
    assert (found.min, found.max) == (np.nanmin(wide), np.nanmax(wide))
    assert (found.count, found.nans, found.zeros) == (values.size, 1, 1)
    np.testing.assert_allclose([found.mean, found.std], [np.nanmean(wide), np.nanstd(wide)], rtol=1e-9)
    assert not found.all_zero


@pytest.mark.parametrize(
    ("values", "nans", "all_zero", "mean"),
    [
        ([0.0, -0.0], 0, True, 0.0),
        ([np.nan] * 3, 3, False, np.nan),
        ([], 0, False, np.nan),
        ([0, np.inf], 0, False, np.inf),
    ],
)
def test_odd_blobs(values, nans, all_zero, mean):
    found = BlobArray(np.array(values, np.float32)).statistics
    assert (found.nans, found.all_zero) == (nans, all_zero)
    np.testing.assert_equal(found.mean, mean)


def test_computed_once():
    blob = BlobArray(array(5))
    assert blob.statistics is blob.statistics
