"""UniformFill, UniformIntFill, GaussianFill, XavierFill, MSRAFill, UniqueUniformFill, Float16UniformFill."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.operators.single import described, ints, raises, reals, run

SHAPE = [40, 30, 5, 5]
"""30,000 elements: means and deviations are within 5 standard errors of a few percent."""


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        yield


def check_uniform(found, low, high):
    assert found.min() >= low
    assert found.max() <= high
    assert found.min() < low + 0.01 * (high - low)
    assert found.max() > high - 0.01 * (high - low)
    assert abs(found.mean() - (low + high) / 2) < 0.02 * (high - low)


def test_uniform():
    check_uniform(run("UniformFill", shape=SHAPE), 0, 1)
    check_uniform(run("UniformFill", shape=SHAPE, min=-3.0, max=5.0), -3, 5)
    check_uniform(run("UniformFill", reals(*SHAPE), reals(1) * 0 - 2, reals(1) * 0 + 2), -2, 2)
    half = run("Float16UniformFill", shape=SHAPE, min=-1.0, max=0.5)
    check_uniform(half.astype(np.float64), -1, 0.5)
    assert half.dtype == np.float16


def test_integers_include_the_upper_bound():
    found = run("UniformIntFill", shape=SHAPE, min=-3, max=4)
    assert found.dtype == np.int32
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == list(range(-3, 5))
    assert np.abs(counts / found.size - 1 / 8).max() < 0.02
    assert set(np.unique(run("UniformIntFill", shape=SHAPE))) == {0, 1}
    assert set(np.unique(run("UniformIntFill", ints(*range(100)), ints(5), ints(5)))) == {5}


def test_bounds_in_the_wrong_order():
    assert run("UniformFill", reals(2, 3), reals(1) * 0 + 1, reals(1) * 0).shape == (0, 3)
    for type, low in (("UniformFill", 1.0), ("UniformIntFill", 1), ("Float16UniformFill", 1.0)):
        with raises("E103", "not below"):
            described(type, 0, shape=[1], min=low, max=low)
    with raises("E101", "`max`"):
        described("UniformFill", 3, max=1.0)
    with raises("E101", "comes with"):
        described("UniformFill", 2)
    with raises("E102", "one element"):
        run("UniformFill", reals(2), reals(2), reals(1))
    with raises("E107"):
        run("UniformIntFill", reals(2), reals(1), reals(1))


def test_ranges_beyond_those_of_the_type():
    for type in ("UniformFill", "Float16UniformFill"):
        with raises("E103", "too large"):
            described(type, 0, shape=[1], min=-3e38, max=3e38)
    for bounds in ({"min": -(2**31) - 1, "max": 0}, {"min": 0, "max": 2**31}):
        for type in ("UniformIntFill", "UniqueUniformFill"):
            with raises("E103", "not a value of type int32"):
                described(type, 0, shape=[1], **bounds)
    with raises("E103", "too large"):
        described("UniqueUniformFill", 0, shape=[1], min=-(2**62), max=2**62, dtype=10)
    assert run("UniformIntFill", shape=[3], min=-(2**31), max=2**31 - 1).dtype == np.int32
    assert run("UniqueUniformFill", shape=[3], min=0, max=2**63 - 2, dtype=10).dtype == np.int64


def test_gaussian():
    found = run("GaussianFill", shape=SHAPE, mean=2.0, std=3.0)
    assert abs(found.mean() - 2) < 0.1
    assert abs(found.std() - 3) < 0.1
    assert abs(run("GaussianFill", shape=SHAPE).std() - 1) < 0.05
    with raises("E103", "negative"):
        described("GaussianFill", 0, shape=[1], std=-1.0)


def test_fans():
    """fan_in is the number of elements by the first extent, fan_out by the second."""
    check_uniform(run("XavierFill", shape=SHAPE), -np.sqrt(3 / 750), np.sqrt(3 / 750))
    found = run("MSRAFill", shape=SHAPE)
    assert abs(found.std() / np.sqrt(2 / 1000) - 1) < 0.03
    assert abs(found.mean()) < 0.002
    assert np.abs(found).max() > 3 * np.sqrt(2 / 1000)
    with raises("E102", "at least 1 axis"):
        run("XavierFill", shape=[])
    with raises("E102", "at least 2 axes"):
        run("MSRAFill", shape=[3])


@pytest.mark.parametrize("high", [30, 2**31 - 1])
def test_different_integers(high):
    avoided = ints(1, 2, 3)
    found = run("UniqueUniformFill", reals(4, 5), avoided, min=-1, max=high)
    assert found.shape == (4, 5)
    assert found.dtype == np.int32
    assert len(np.unique(found)) == 20
    assert found.min() >= -1
    assert found.max() <= high
    assert not np.isin(found, avoided).any()
    assert (np.diff(found.ravel()) < 0).any()


def test_all_integers_are_a_permutation():
    found = run("UniqueUniformFill", shape=[21], min=-10, max=10, dtype=10)
    assert found.dtype == np.int64
    assert sorted(found.tolist()) == list(range(-10, 11))


def test_too_few_different_integers():
    with raises("E102", "fewer different"):
        run("UniqueUniformFill", shape=[22], min=-10, max=10)
    with raises("E102", "fewer different"):
        run("UniqueUniformFill", reals(21), ints(5), min=-10, max=10)
    with raises("E103", "not below"):
        described("UniqueUniformFill", 0, shape=[1], min=1, max=1)
    with raises("E101", "requires"):
        described("UniqueUniformFill", 0, shape=[1], min=1)
    with raises("E103", "not a type it supports"):
        described("UniqueUniformFill", 0, shape=[1], min=0, max=1, dtype=1)


@pytest.mark.parametrize("type", ["UniformFill", "UniformIntFill", "GaussianFill", "XavierFill", "MSRAFill"])
def test_a_seed_repeats_the_numbers(type):
    drawn = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        drawn.append(run(type, shape=[5, 20]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
