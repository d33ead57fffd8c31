"""Losses, and the recurrent layers."""

import numpy as np

from tests.pycaffe import caffe_formulas as f
from tests.pycaffe.variants.case import FILL, Case, adder, two

CASES: list[Case] = []
add = adder(CASES)

# losses
labels5 = lambda r, s: r.integers(0, 5, s)
for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
    add(
        f"softmax loss {mode}",
        f'type: "SoftmaxWithLoss" loss_param {{ normalization: {mode} ignore_label: 3 }} softmax_param {{ axis: -2 }} loss_weight: 0.5',  # noqa: E501
        [((2, 3, 5, 2), (2, 3, 2)), ((3, 2, 5, 1), (3, 2, 1))],
        lambda x, y, mode=mode: f.softmax_loss(x, y, -2, 3, mode),
        given={1: 5},
        still=(1,),
    )
    add(
        f"infogain {mode}",
        f'type: "InfogainLoss" loss_param {{ normalization: {mode} ignore_label: 0 }}',
        [((2, 5, 3), (2, 3), (1, 1, 5, 5)), ((3, 5, 2), (3, 2, 1), (5, 5))],
        lambda x, y, h, mode=mode: f.softmax_loss(x, y, 1, 0, mode, h.reshape(5, 5), 1e-20),
        given={1: 5, 2: lambda r, s: r.random(s)},
        still=(1, 2),
    )
    add(
        f"sigmoid loss {mode}",
        f'type: "SigmoidCrossEntropyLoss" loss_param {{ normalization: {mode} ignore_label: 2 }}',
        two((3, 2, 2), (3, 2, 2)),
        lambda x, y, mode=mode: f.sigmoid_loss(x, y, 2, mode),
        given={1: lambda r, s: r.choice([0, 1, 2, 0.3], s)},
        still=(1,),
    )
for flag in ("true", "false"):
    add(
        f"softmax loss normalize {flag}",
        f'type: "SoftmaxWithLoss" loss_param {{ normalize: {flag} ignore_label: -1 }}',
        two((2, 5, 3, 1), (2, 1, 3, 1)),
        lambda x, y, flag=flag: f.softmax_loss(x, y, 1, -1, "VALID" if flag == "true" else "BATCH_SIZE"),
        given={1: lambda r, s: r.integers(-1, 5, s)},
        still=(1,),
    )
add(
    "softmax loss all ignored",
    'type: "SoftmaxWithLoss" loss_param { ignore_label: 255 }',
    two((2, 5), (2,)),
    lambda x, y: x.sum() * 0,
    given={1: lambda r, s: np.full(s, 255)},
    still=(1,),
)
add(
    "hinge l2",
    'type: "HingeLoss" hinge_loss_param { norm: L2 }',
    two((3, 5), (3,)),
    lambda x, y: f.hinge(x, y, True),
    given={1: 5},
    still=(1,),
)
add(
    "hinge l1",
    'type: "HingeLoss"',
    two((3, 5, 1, 1), (3, 1, 1, 1))[:1] * 2,
    lambda x, y: f.hinge(x, y),
    given={1: 5},
    still=(1,),
)
for legacy in ("true", "false"):
    add(
        f"contrastive {legacy}",
        f'type: "ContrastiveLoss" contrastive_loss_param {{ margin: 4 legacy_version: {legacy} }}',
        two((6, 3), (6, 3), (6,)),
        lambda a, b, y, legacy=legacy: f.contrastive(a, b, y, 4, legacy == "true"),
        given={2: 2},
        still=(2,),
    )
add(
    "euclidean",
    'type: "EuclideanLoss" loss_weight: -2',
    two((3, 2, 2), (3, 2, 2)),
    lambda a, b: ((a - b) ** 2).sum() / 2 / len(a),
)
add(
    "logistic",
    'type: "MultinomialLogisticLoss"',
    two((3, 5), (3,)),
    lambda p, y: -np.log(p[np.arange(len(p)), y.astype(int)]).mean(),
    given={0: lambda r, s: r.random(s) + 0.1, 1: 5},
    still=(1,),
)
for k, axis, ignore in ((1, 1, None), (3, -2, 2), (5, 1, 0)):
    add(
        f"accuracy {k}",
        f'type: "Accuracy" accuracy_param {{ top_k: {k} axis: {axis} {"" if ignore is None else f"ignore_label: {ignore}"} }}',  # noqa: E501
        [*two((3, 5, 2), (3, 2))[:1], ((2, 5, 3), (2, 1, 3))],
        lambda x, y, k=k, axis=axis, ignore=ignore: f.accuracy(x, y, axis, k, ignore),
        tops=2,
        given={1: 5},
        forward_only=True,
    )

# recurrent
rp = "recurrent_param { num_output: 3 %s " + FILL + " }"
marks = lambda r, s: r.integers(0, 2, s)


def zeros(x):
    return np.zeros((x.shape[1], 3))


add(
    "lstm",
    'type: "LSTM" ' + rp % "",
    [((4, 2, 2, 2), (4, 2)), ((2, 5, 4, 1), (2, 5))],
    lambda x, k, wx, b, wh: f.lstm(x, k, wx, b, wh, zeros(x), zeros(x))[0],
    given={1: marks},
    still=(1,),
)
add(
    "lstm static exposed",
    'type: "LSTM" ' + rp % "expose_hidden: true",
    [((3, 2, 2), (3, 2), (2, 2), (1, 2, 3), (1, 2, 3)), ((1, 4, 2), (1, 4), (4, 2), (1, 4, 3), (1, 4, 3))],
    lambda x, k, s, h, c, wx, b, ws, wh: [
        a if i == 0 else a[None] for i, a in enumerate(f.lstm(x, k, wx, b, wh, h[0], c[0], s @ ws.T))
    ],
    tops=3,
    given={1: marks},
    still=(1, 3, 4),
    no_diff=(1, 2),
)
add(
    "rnn static",
    'type: "RNN" ' + rp % "",
    [((3, 2, 2), (3, 2), (2, 2, 2)), ((2, 4, 2), (2, 4), (4, 4))],
    lambda x, k, s, wx, b, ws, wh, wo, bo: f.rnn(x, k, wx, b, wh, wo, bo, zeros(x), s.reshape(len(s), -1) @ ws.T)[0],
    given={1: marks},
    still=(1,),
)
