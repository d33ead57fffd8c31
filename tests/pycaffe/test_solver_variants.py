"""Every solver with every policy, decay, clipping and several batches an iteration, against its formulas in float64.

The net shares a weight between two layers of different factors, and has a frozen bias.
"""

import math

import numpy as np
import pytest

import netc.pycaffe as caffe

NET = """
layer { name: "x" type: "MemoryData" top: "x" top: "label"
        memory_data_param { batch_size: 3 channels: 4 height: 1 width: 1 } }
layer { name: "silence" type: "Silence" bottom: "label" }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "one" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.5 } bias_filler { value: 0.1 } } }
layer { name: "tanh1" type: "TanH" bottom: "one" top: "one" }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" lr_mult: 0.5 } param { lr_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.5 } bias_filler { value: 0.2 } } }
layer { name: "tanh2" type: "TanH" bottom: "two" top: "bent" }
layer { name: "three" type: "InnerProduct" bottom: "bent" top: "three" param { name: "w" lr_mult: 0.5 }
        inner_product_param { num_output: 3 bias_term: false } }
layer { name: "loss" type: "Reduction" bottom: "three" top: "loss" reduction_param { operation: SUMSQ coeff: 0.7 }
        loss_weight: 0.5 }
"""
MULTS = ((1, 1), (2, 0), (0.5, 1), (0, 1))
"""lr_mult and decay_mult of the four blobs."""
IMAGES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
STEPS = 7
POLICIES = {
    "fixed": ({}, lambda i: 1),
    "step": ({"gamma": 0.5, "stepsize": 2}, lambda i: 0.5 ** (i // 2)),
    "exp": ({"gamma": 0.9}, lambda i: 0.9**i),
    "inv": ({"gamma": 0.3, "power": 0.75}, lambda i: (1 + 0.3 * i) ** -0.75),
    "multistep": ({"gamma": 0.5, "stepvalue": (1, 1, 4)}, lambda i: 0.5 ** ((i >= 1) + (i >= 2) + (i >= 4))),
    "poly": ({"power": 2}, lambda i: (1 - i / 8) ** 2),
    "sigmoid": ({"gamma": -0.5, "stepsize": 3}, lambda i: 1 / (1 + math.exp(0.5 * (i - 3)))),
}
SOLVERS = {
    "SGD": {"base_lr": 0.05, "momentum": 0.9},
    "Nesterov": {"base_lr": 0.05, "momentum": 0.9},
    "AdaGrad": {"base_lr": 0.05, "delta": 1e-4},
    "RMSProp": {"base_lr": 0.05, "rms_decay": 0.8, "delta": 1e-4},
    "AdaDelta": {"base_lr": 1.0, "momentum": 0.95, "delta": 1e-4},
    "Adam": {"base_lr": 0.01, "momentum": 0.9, "momentum2": 0.99, "delta": 1e-4},
}
MORE = [
    {"weight_decay": 0.05, "regularization_type": "L1", "clip_gradients": 0.5, "iter_size": 3},
    {"weight_decay": 0.05, "regularization_type": "L2", "clip_gradients": -1, "iter_size": 3},
    {"weight_decay": 0, "regularization_type": "L2", "clip_gradients": 0.5, "iter_size": 1},
]
CASES = [(solver, policy, MORE[(i + j) % 3]) for i, solver in enumerate(SOLVERS) for j, policy in enumerate(POLICIES)]


def gradients(blobs, x):
    weight, bias, shared, other = blobs
    one = np.tanh(x @ weight.T + bias)
    two = np.tanh(one @ shared.T + other)
    three = 0.7 * two @ shared.T
    below = (three @ shared) * (1 - two**2)
    first = (below @ shared) * (1 - one**2)
    return [first.T @ x, first.sum(0), three.T @ two + below.T @ one, np.zeros(3)]


def update(solver, at, rate, g, h, k):
    """What is subtracted in iteration `at`; the histories h and k change in place."""
    s = {"momentum": 0, "delta": 0, **SOLVERS[solver]}
    m, delta = s["momentum"], s["delta"]
    if solver in ("SGD", "Nesterov"):
        old = h.copy()
        h[...] = m * h + rate * g
        return h.copy() if solver == "SGD" else (1 + m) * h - m * old
    if solver in ("AdaGrad", "RMSProp"):
        keep = s.get("rms_decay")
        h[...] = h + g * g if keep is None else keep * h + (1 - keep) * g * g
        return rate * g / (np.sqrt(h) + delta)
    if solver == "AdaDelta":
        h[...] = m * h + (1 - m) * g * g
        found = g * np.sqrt((k + delta) / (h + delta))
        k[...] = m * k + (1 - m) * found * found
        return rate * found
    second, t = s["momentum2"], at + 1
    h[...] = m * h + (1 - m) * g
    k[...] = second * k + (1 - second) * g * g
    return rate * math.sqrt(1 - second**t) / (1 - m**t) * h / (np.sqrt(k) + delta)


def by_formulas(blobs, solver, policy, more):
    blobs = [np.array(blob, float) for blob in blobs]
    first, second = ([np.zeros_like(blob) for blob in blobs] for _ in range(2))
    batch = 0
    for at in range(STEPS):
        sums = [np.zeros_like(blob) for blob in blobs]
        for _ in range(more["iter_size"]):
            sums = [a + b for a, b in zip(sums, gradients(blobs, IMAGES[batch : batch + 3].astype(float)))]
            batch = (batch + 3) % 6
        norm, limit = math.sqrt(sum((g**2).sum() for g in sums)), more["clip_gradients"]
        factor = limit / norm if 0 <= limit < norm else 1
        rate = SOLVERS[solver]["base_lr"] * POLICIES[policy][1](at)
        for i, (lr_mult, decay_mult) in enumerate(MULTS):
            pull = np.sign(blobs[i]) if more["regularization_type"] == "L1" else blobs[i]
            gradient = sums[i] * factor / more["iter_size"] + more["weight_decay"] * decay_mult * pull
            blobs[i] = blobs[i] - update(solver, at, rate * lr_mult, gradient, first[i], second[i])
    return blobs


def text(fields):
    lists = ((name, value) for name, v in fields.items() for value in (v if isinstance(v, tuple) else (v,)))
    return "\n".join(f'{name}: "{value}"' if isinstance(value, str) else f"{name}: {value}" for name, value in lists)


@pytest.mark.parametrize(("solver", "policy", "more"), CASES)
def test_seven_steps(solver, policy, more, tmp_path):
    caffe.set_mode_cpu()
    (tmp_path / "net.prototxt").write_text(NET)
    fields = {"net": str(tmp_path / "net.prototxt"), "type": solver, "lr_policy": policy, "max_iter": 8, **more}
    (tmp_path / "solver.prototxt").write_text(text({**fields, **SOLVERS[solver], **POLICIES[policy][0]}))
    made = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    made.net.set_input_arrays(IMAGES.reshape(6, 4, 1, 1), np.zeros(6, np.float32))
    blobs = [made.net.params[layer][index].data for layer in ("one", "two") for index in (0, 1)]
    before = [blob.copy() for blob in blobs]
    made.step(STEPS)
    for blob, start, wanted in zip(blobs, before, by_formulas(before, solver, policy, more)):
        np.testing.assert_allclose(blob, wanted, rtol=1e-5, atol=1e-5)
        assert np.abs(wanted - start).max() > 1e-3 or not (wanted - start).any() or wanted.size == 3
