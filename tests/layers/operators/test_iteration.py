"""Counters of iterations, mutexes, and the learning rate of an iteration."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.ir.operator import Operator
from netc.layers.operators._learning_rate_policies import POLICIES
from netc.layers.operators.learning_rate import read_policy


def load(text: str) -> netc.Net:
    return netc.load(Source("net.pbtxt", text))


def rate(policy: str, iteration: int, base: float = 1.0, **values: float) -> float:
    texts = [f'arg {{ name: "{n}" {"i" if isinstance(v, int) else "f"}: {v} }}' for n, v in values.items()]
    text = f'op {{ input: "i" output: "r" type: "LearningRate" arg {{ name: "policy" s: "{policy}" }} '
    net = load(f'{text} arg {{ name: "base_lr" f: {base} }} {" ".join(texts)} }} external_input: "i"')
    return float(net.run({"i": np.array([iteration], np.int64)}, ["r"])["r"])


def test_counters_count():
    net = load('op { input: "i" output: "i" type: "Iter" } external_input: "i"')
    assert net.run({"i": np.array([4], np.int64)})["i"].tolist() == [5]
    with pytest.raises(NetcError, match="iteration number"):
        net.run({"i": np.array([-1], np.int64)})
    with pytest.raises(NetcError, match="expected int64"):
        net.run({"i": np.array([1], np.int32)})


def test_a_mutex_is_never_fed():
    net = load(
        'op { input: "lock" input: "i" output: "i" type: "AtomicIter" } external_input: "lock" external_input: "i"'
    )
    assert net.inputs == ("i",)
    assert net.run({"i": np.array([0], np.int64)}, ["i"])["i"].tolist() == [1]
    made = load(
        'op { output: "lock" type: "CreateMutex" } op { input: "lock" input: "i" output: "i" type: "AtomicIter" } '
        'external_input: "i"'
    )
    assert made.run({"i": np.array([0], np.int64)}, ["i"])["i"].tolist() == [1]


def test_only_a_mutex_is_a_mutex():
    with pytest.raises(NetcError, match="has type float32, expected mutex"):
        load(
            'op { output: "x" type: "GivenTensorFill" arg { name: "shape" ints: 0 } arg { name: "values" } } '
            'op { input: "x" input: "i" output: "i" type: "AtomicIter" } external_input: "i"'
        )


@pytest.mark.parametrize(
    ("policy", "values", "expected"),
    [
        ("fixed", {}, {0: 1, 9: 1}),
        ("step", {"stepsize": 4, "gamma": 0.5}, {3: 1, 4: 0.5, 8: 0.25}),
        ("exp", {"gamma": 0.9}, {0: 1, 2: 0.81}),
        ("inv", {"gamma": 0.5, "power": 2.0}, {0: 1, 2: 0.25}),
        ("poly", {"power": 2.0, "max_iter": 10}, {0: 1, 5: 0.25, 10: 0}),
        ("poly", {"power": 0.5, "max_iter": 10}, {11: math.nan}),
        ("poly", {"power": 2.0}, {1000: 1}),
        ("alter", {"active_period": 2, "inactive_period": 1}, {0: 1, 1: 1, 2: 0, 3: 1}),
        ("alter", {"active_period": 2, "inactive_period": 1, "active_first": 0}, {0: 0, 1: 1, 2: 1, 3: 0}),
        ("linearWarmup", {"start_multiplier": 0.2, "num_iter": 4}, {0: 0.2, 2: 0.6, 4: 1, 9: 1}),
        ("constantWarmup", {"num_iter": 4}, {3: 0.5, 4: 1}),
        ("gate", {"multiplier_1": 0.3, "multiplier_2": 0.7, "num_iter": 4}, {3: 0.3, 4: 0.7}),
        ("pieceWarmup", {"m1": 0.1, "n1": 2, "m2": 0.2, "n2": 4, "m3": 0.3}, {1: 0.1, 2: 0.2, 4: 0.3}),
        (
            "hill",
            {"num_iter": 4, "start_multiplier": 0.2, "gamma": 1.0, "power": 1.0, "end_multiplier": 0.25},
            {2: 0.6, 4: 1, 5: 0.5, 9: 0.25},
        ),
        ("cyclical", {"max_lr": 3.0, "stepsize": 4}, {0: 1, 2: 2, 4: 3, 8: 1}),
        ("cyclical", {"max_lr": 3.0, "stepsize": 4, "decay": 0.5}, {12: 2}),
        ("cosine", {"max_lr": 1.0, "min_lr": 0.0, "period": 4, "lr_shrink": 0.5}, {0: 1, 2: 0.5, 4: 0.5}),
        (
            "cosine",
            {"max_lr": 1.0, "min_lr": 0.0, "period": 4, "t_mult": 2.0, "lr_shrink": 1.0},
            {4: 1, 8: 0.5, 12: 1, 20: 0.5},
        ),
        (
            "constantThenLinearWarmup",
            {"start_warmup_multiplier": 0.2, "constant_warmup_num_iter": 2, "linear_warmup_num_iter": 4},
            {1: 0.2, 2: 0.2, 4: 0.6, 6: 1, 99: 1},
        ),
        (
            "compositeCosine",
            {"constant_warmup_num_iter": 1, "linear_warmup_num_iter": 1, "cosine_period": 4, "cosine_lr_shrink": 1.0},
            {0: 0.1, 2: 0.5, 4: 0.3},
        ),
        (
            "compositeCyclical",
            {
                "constant_warmup_num_iter": 1,
                "linear_warmup_num_iter": 1,
                "cyclical_max_lr": 3.0,
                "cyclical_step_size": 4,
            },
            {0: 0.1, 2: 1, 6: 3},
        ),
    ],
)
def test_policies(policy, values, expected):
    for iteration, factor in expected.items():
        assert rate(policy, iteration, **values) == pytest.approx(factor, rel=1e-6, abs=1e-7, nan_ok=True)
        if policy not in ("cyclical", "compositeCyclical"):
            assert rate(policy, iteration, -2.0, **values) == pytest.approx(
                -2 * factor, rel=1e-6, abs=1e-7, nan_ok=True
            )


def composite(**changes: object) -> Operator:
    arguments = {
        "policy": {"s": b"composite"},
        "sub_policy_num_iters": {"ints": (3, 5)},
        "sub_policy_0_policy": {"s": b"linearWarmup"},
        "sub_policy_0_num_iter": {"i": 4},
        "sub_policy_1_policy": {"s": b"exp"},
        "sub_policy_1_gamma": {"f": 0.5},
        "sub_policy_1_lr_scale": {"f": 10.0},
    }
    return Operator("LearningRate", {**arguments, **changes})  # type: ignore[dict-item]


def test_a_composite_policy_counts_from_the_first_iteration():
    policy = read_policy(composite())
    assert [policy.factor(i, 1.0) for i in (1, 3)] == [0.25, 0.75]
    assert [policy.factor(i, 1.0) for i in (4, 9)] == [10 * 0.5**4, 10 * 0.5**9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": {"s": b"multistep"}}, "unknown learning rate policy `multistep`"),
        ({"policy": {"s": b""}}, "requires the argument `policy`"),
        ({"sub_policy_num_iters": {"ints": ()}}, "requires `sub_policy_num_iters`"),
        ({"sub_policy_num_iters": {"ints": (3, 0)}}, "not positive"),
        ({"sub_policy_1_policy": {"s": b"composite"}}, "cannot be composite"),
        ({"policy": {"s": b"step"}}, "`stepsize: 0` is not positive"),
        ({"policy": {"s": b"cyclical"}}, "`stepsize: 0` is not positive"),
    ],
)
def test_policies_that_caffe2_refuses(changes, message):
    with pytest.raises(NetcError, match=message):
        read_policy(composite(**changes))


def test_a_rate_needs_a_base():
    with pytest.raises(NetcError, match="requires the argument `base_lr`"):
        load('op { input: "i" output: "r" type: "LearningRate" arg { name: "policy" s: "fixed" } }')


def test_every_policy_is_tested():
    text = Path(__file__).read_text()
    assert all(f'"{name}"' in text or f'b"{name}"' in text for name in POLICIES)
