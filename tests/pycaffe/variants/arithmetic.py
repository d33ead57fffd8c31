"""Elementwise layers, scales and reductions."""

import numpy as np

from tests.pycaffe import caffe_formulas as f
from tests.pycaffe.variants.case import Case, adder, two

CASES: list[Case] = []
add = adder(CASES)

# scale and bias
sp = 'filler { type: "gaussian" } bias_filler { type: "gaussian" }'
add(
    "scale axes bias",
    f'type: "Scale" scale_param {{ axis: 1 num_axes: 2 bias_term: true {sp} }}',
    [((2, 3, 4, 2),), ((3, 3, 4, 5),)],
    lambda x, w, b: x * w[:, :, None] + b[:, :, None],
)
add(
    "scale scalar",
    f'type: "Scale" scale_param {{ num_axes: 0 bias_term: true {sp} }}',
    two((2, 3, 2)),
    lambda x, w, b: x * w + b,
)
add(
    "scale all from the batch on",
    f'type: "Scale" scale_param {{ axis: 0 num_axes: -1 {sp} }}',
    [((2, 3),), ((2, 3),)],
    lambda x, w: x * w,
)
add(
    "scale negative axis",
    f'type: "Scale" scale_param {{ axis: -1 bias_term: true {sp} }}',
    [((2, 3, 4),), ((5, 1, 4),)],
    lambda x, w, b: x * w + b,
)
add(
    "scale two bottoms",
    'type: "Scale" scale_param { axis: 0 }',
    two((2, 3, 2, 2), (2, 3)),
    lambda x, y: x * y[:, :, None, None],
)
add(
    "scale two bottoms bias",
    f'type: "Scale" scale_param {{ axis: 2 bias_term: true {sp} }}',
    [((2, 3, 4, 2), (4,)), ((3, 2, 4, 5), (4,))],
    lambda x, y, b: x * y[:, None] + b[:, None],
)
add("scale by a scalar bottom", 'type: "Scale"', [((2, 3), ()), ((4, 3), ())], lambda x, y: x * y)
add(
    "bias two bottoms negative axis",
    'type: "Bias" bias_param { axis: -2 }',
    [((2, 2, 3, 4), (3, 4)), ((3, 2, 2, 5), (2, 5))],
    lambda x, y: x + y,
)
add(
    "bias all axes",
    'type: "Bias" bias_param { axis: 1 num_axes: -1 filler { type: "gaussian" } }',
    [((2, 3, 2),), ((4, 3, 2),)],
    lambda x, b: x + b,
)

# arithmetic
add(
    "eltwise coefficients",
    'type: "Eltwise" eltwise_param { operation: SUM coeff: 2 coeff: -0.5 coeff: 0 }',
    two((2, 3), (2, 3), (2, 3)),
    lambda a, b, c: 2 * a - 0.5 * b,
)
add(
    "eltwise product of three",
    'type: "Eltwise" eltwise_param { operation: PROD stable_prod_grad: false }',
    two((2, 3), (2, 3), (2, 3)),
    lambda a, b, c: a * b * c,
)
add(
    "eltwise maximum of three",
    'type: "Eltwise" eltwise_param { operation: MAX }',
    two((2, 3, 2), (2, 3, 2), (2, 3, 2)),
    lambda *x: np.max(x, 0),
)
for op, formula in (
    ("SUM", lambda r: r.sum(-1)),
    ("ASUM", lambda r: abs(r).sum(-1)),
    ("SUMSQ", lambda r: (r * r).sum(-1)),
    ("MEAN", lambda r: r.mean(-1)),
):
    add(
        f"reduction {op}",
        f'type: "Reduction" reduction_param {{ operation: {op} axis: -2 coeff: -1.5 }}',
        two((2, 3, 2, 3)),
        lambda x, formula=formula: -1.5 * formula(x.reshape(*x.shape[:2], -1)),
    )
add(
    "power 3",
    'type: "Power" power_param { power: 3 scale: -0.5 shift: 0.25 }',
    two((2, 3)),
    lambda x: (0.25 - 0.5 * x) ** 3,
)
add(
    "power of a negative number",
    'type: "Power" power_param { power: -2 scale: 0.5 shift: -3 }',
    two((2, 3)),
    lambda x: (0.5 * x - 3) ** -2,
)
add("power 0.5", 'type: "Power" power_param { power: 0.5 shift: 3 }', two((2, 3)), lambda x: (x + 3) ** 0.5)
add("power without scale", 'type: "Power" power_param { power: 2 scale: 0 shift: 3 }', two((2, 3)), lambda x: 0 * x + 9)
add("exp", 'type: "Exp" exp_param { base: 3 scale: -0.5 shift: 1 }', two((2, 3)), lambda x: 3 ** (1 - 0.5 * x))
add("log", 'type: "Log" log_param { base: 0.5 scale: -1 shift: 3 }', two((2, 3)), lambda x: np.log(3 - x) / np.log(0.5))
add("clip", 'type: "Clip" clip_param { min: -0.7 max: 1.1 }', two((2, 7)), lambda x: np.clip(x, -0.7, 1.1))
add("elu", 'type: "ELU" elu_param { alpha: 2.5 }', two((2, 7)), lambda x: np.where(x > 0, x, 2.5 * (np.exp(x) - 1)))
add(
    "relu negative slope",
    'type: "ReLU" relu_param { negative_slope: -0.3 }',
    two((2, 7)),
    lambda x: np.maximum(x, 0) - 0.3 * np.minimum(x, 0),
)
add(
    "prelu",
    'type: "PReLU" prelu_param { filler { type: "gaussian" } }',
    two((2, 3, 4)),
    lambda x, a: np.maximum(x, 0) + a[:, None] * np.minimum(x, 0),
)
add(
    "prelu shared",
    'type: "PReLU" prelu_param { channel_shared: true }',
    two((2, 3)),
    lambda x, a: np.maximum(x, 0) + a * np.minimum(x, 0),
)
add("swish", 'type: "Swish" swish_param { beta: -1.5 }', two((2, 7)), lambda x: x * f.sigmoid(-1.5 * x))
add("bnll", 'type: "BNLL"', two((2, 7)), lambda x: np.log(1 + np.exp(x)))
add("softmax", 'type: "Softmax" softmax_param { axis: -2 }', two((2, 3, 4)), lambda x: f.softmax(x, 1))
