"""Layers that move elements, and those that choose or multiply them."""

import numpy as np

from tests.pycaffe.variants.case import FILL, Case, adder, two

CASES: list[Case] = []
add = adder(CASES)

# shapes
add(
    "concat",
    'type: "Concat" concat_param { axis: -2 }',
    [((2, 3, 4), (2, 1, 4), (2, 2, 4)), ((1, 2, 3), (1, 2, 3), (1, 5, 3))],
    lambda *x: np.concatenate(x, 1),
)
add(
    "slice",
    'type: "Slice" slice_param { axis: -1 slice_point: 1 slice_point: 4 }',
    [((2, 3, 6),), ((1, 3, 5),)],
    lambda x: (x[..., :1], x[..., 1:4], x[..., 4:]),
    tops=3,
)
add(
    "slice dim",
    'type: "Slice" slice_param { slice_dim: 0 }',
    [((4, 3),), ((6, 2),)],
    lambda x: tuple(np.split(x, 2)),
    tops=2,
)
add(
    "crop",
    'type: "Crop" crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }',
    [((2, 4, 3, 6), (1, 2, 3, 3)), ((1, 3, 5, 5), (4, 1, 2, 2))],
    lambda x, y: x[:, 1 : 1 + y.shape[1], : y.shape[2], 2 : 2 + y.shape[3]],
    still=(1,),
)
add(
    "crop negative axis",
    'type: "Crop" crop_param { axis: -1 offset: 2 }',
    [((2, 3, 6), (1, 1, 3)), ((2, 3, 5), (2, 2, 1))],
    lambda x, y: x[..., 2 : 2 + y.shape[2]],
    still=(1,),
)
add(
    "reshape",
    'type: "Reshape" reshape_param { shape { dim: -1 dim: 2 } axis: 1 num_axes: 2 }',
    [((2, 3, 4, 5),), ((3, 2, 2, 1),)],
    lambda x: x.reshape(x.shape[0], -1, 2, x.shape[3]),
)
add(
    "reshape inserts",
    'type: "Reshape" reshape_param { shape { dim: 1 dim: 1 } axis: -1 num_axes: 0 }',
    two((2, 3)),
    lambda x: x[..., None, None],
)
add(
    "flatten",
    'type: "Flatten" flatten_param { axis: -3 end_axis: -2 }',
    two((2, 3, 4, 2)),
    lambda x: x.reshape(x.shape[0], -1, x.shape[3]),
)
add("tile", 'type: "Tile" tile_param { axis: -2 tiles: 3 }', two((2, 3, 4)), lambda x: np.tile(x, (1, 3, 1)))
add("split", 'type: "Split"', two((2, 3)), lambda x: (x, x, x), tops=3)
add(
    "inner product",
    f'type: "InnerProduct" inner_product_param {{ num_output: 3 axis: -1 transpose: true {FILL} }}',
    [((2, 3, 4),), ((5, 1, 4),)],
    lambda x, w, b: x @ w + b,
)
add(
    "inner product without bias",
    f'type: "InnerProduct" inner_product_param {{ num_output: 3 bias_term: false axis: 2 {FILL} }}',
    [((2, 3, 4, 2),), ((1, 2, 4, 2),)],
    lambda x, w: x.reshape(*x.shape[:2], -1) @ w.T,
)
add(
    "embed",
    f'type: "Embed" embed_param {{ num_output: 3 input_dim: 5 {FILL} }}',
    [((2, 4),), ((7,),)],
    lambda x, w, b: w[x.astype(int)] + b,
    given={0: 5},
    still=(0,),
)
add(
    "batch reindex",
    'type: "BatchReindex"',
    [((3, 2, 2), (6,)), ((3, 4), (2,))],
    lambda x, i: x[i.astype(int)],
    given={1: 3},
    still=(1,),
)
for label, how in (
    ("some", lambda r, s: np.arange(s[0]).reshape(s) % 2 - 0.5 + 0.5),
    ("none", lambda r, s: np.zeros(s)),
    ("all", lambda r, s: np.full(s, -0.5)),
):
    add(
        f"filter {label}",
        'type: "Filter"',
        [((4, 3), (4, 2, 2), (4, 1)), ((5, 2), (5, 1), (5,))],
        lambda x, y, s: (x[s.reshape(-1) != 0], y[s.reshape(-1) != 0]),
        tops=2,
        given={2: how},
        still=(2,),
    )
add(
    "argmax",
    'type: "ArgMax" argmax_param { top_k: 2 out_max_val: true }',
    two((2, 3, 2, 2)),
    lambda x: np.stack([np.argsort(-x.reshape(len(x), -1), 1)[:, :2], -np.sort(-x.reshape(len(x), -1), 1)[:, :2]], 1)[
        ..., None
    ],
    forward_only=True,
)
add(
    "argmax axis values",
    'type: "ArgMax" argmax_param { top_k: 2 axis: -2 out_max_val: true }',
    two((2, 3, 4)),
    lambda x: -np.sort(-x, 1)[:, :2],
    forward_only=True,
)
add(
    "argmax two axes",
    'type: "ArgMax" argmax_param { top_k: 3 }',
    two((2, 5)),
    lambda x: np.argsort(-x, 1)[:, None, :3],
    forward_only=True,
)
