"""Convolutions, poolings and normalizations."""

import netc.pycaffe as caffe
from tests.pycaffe import caffe_formulas as f
from tests.pycaffe.variants.case import FILL, Case, adder, two

CASES: list[Case] = []
add = adder(CASES)


def conv(n, **k):
    return lambda x, w, b=None: f.convolution(x, w, b, **k)


def cp(text):
    return f"convolution_param {{ {text} {FILL} }}"


# convolutions
add(
    "conv group dilation stride",
    'type: "Convolution" ' + cp("num_output: 4 group: 2 kernel_size: 3 dilation: 2 stride: 2 pad: 2"),
    [((2, 4, 5, 4),), ((1, 4, 4, 6),)],
    conv(2, group=2, dilation=(2, 2), stride=(2, 2), pad=(2, 2)),
)
add(
    "conv depthwise rect",
    'type: "Convolution" '
    + cp("num_output: 3 group: 3 kernel_h: 1 kernel_w: 3 stride_h: 2 stride_w: 1 pad_w: 2 pad_h: 0 bias_term: false"),
    [((2, 3, 3, 4),), ((1, 3, 4, 3),)],
    conv(2, group=3, stride=(2, 1), pad=(0, 2)),
)
add(
    "conv pad beyond kernel",
    'type: "Convolution" ' + cp("num_output: 2 kernel_size: 1 pad: 2 stride: 3"),
    two((1, 2, 4, 5)),
    conv(2, stride=(3, 3), pad=(2, 2)),
)
add(
    "conv 1d",
    'type: "Convolution" ' + cp("num_output: 4 kernel_size: 3 dilation: 2 pad: 1"),
    two((2, 3, 8)),
    conv(1, dilation=(2,), pad=(1,)),
)
add(
    "conv 3d mixed",
    'type: "Convolution" '
    + cp(
        "num_output: 2 kernel_size: 2 kernel_size: 1 kernel_size: 3 stride: 1 stride: 2 stride: 1 pad: 0 pad: 0 pad: 1 group: 2"  # noqa: E501
    ),
    [((1, 4, 2, 3, 2),), ((2, 4, 3, 1, 2),)],
    conv(3, stride=(1, 2, 1), pad=(0, 0, 1), group=2),
)
add(
    "conv negative axis",
    'type: "Convolution" ' + cp("num_output: 2 kernel_size: 2 axis: -2"),
    [((2, 2, 3, 5),), ((3, 1, 3, 4),)],
    lambda x, w, b: f.convolution(x.reshape(-1, *x.shape[2:]), w, b).reshape(*x.shape[:2], 2, x.shape[3] - 1),
)
add(
    "conv two bottoms",
    'type: "Convolution" ' + cp("num_output: 2 kernel_size: 2"),
    [((2, 2, 3, 3), (2, 2, 3, 3)), ((1, 2, 2, 4), (1, 2, 2, 4))],
    lambda x, y, w, b: (f.convolution(x, w, b), f.convolution(y, w, b)),
    tops=2,
)
add(
    "deconv group dilation",
    'type: "Deconvolution" ' + cp("num_output: 4 group: 2 kernel_size: 3 dilation: 2 stride: 2 pad: 1"),
    two((2, 2, 3, 2)),
    lambda x, w, b: f.deconvolution(x, w, b, group=2, dilation=(2, 2), stride=(2, 2), pad=(1, 1)),
)
add(
    "deconv rect nobias",
    'type: "Deconvolution" '
    + cp("num_output: 3 kernel_h: 2 kernel_w: 4 stride_h: 1 stride_w: 3 pad_h: 0 pad_w: 2 bias_term: false"),
    two((1, 2, 3, 3)),
    lambda x, w: f.deconvolution(x, w, stride=(1, 3), pad=(0, 2)),
)
add(
    "deconv 1d",
    'type: "Deconvolution" ' + cp("num_output: 3 kernel_size: 4 stride: 2 pad: 1"),
    two((2, 2, 4)),
    lambda x, w, b: f.deconvolution(x, w, b, stride=(2,), pad=(1,)),
)
add(
    "deconv 3d",
    'type: "Deconvolution" ' + cp("num_output: 2 kernel_size: 2 stride: 2"),
    [((1, 2, 2, 1, 2),), ((2, 2, 1, 2, 1),)],
    lambda x, w, b: f.deconvolution(x, w, b, stride=(2, 2, 2)),
)
add(
    "im2col",
    'type: "Im2col" convolution_param { kernel_h: 2 kernel_w: 3 stride: 2 pad: 1 dilation: 2 }',
    two((2, 2, 6, 5)),
    lambda x: f.im2col(x, (2, 3), (2, 2), (1, 1), (2, 2)),
)

# pooling
for m in ("MAX", "AVE"):
    for label, text, kw in (
        ("pad", "kernel_size: 3 stride: 2 pad: 1", {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)}),
        ("wide pad", "kernel_size: 3 stride: 2 pad: 2", {"kernel": (3, 3), "stride": (2, 2), "pad": (2, 2)}),
        (
            "stride beyond kernel",
            "kernel_size: 2 stride: 3 pad: 1",
            {"kernel": (2, 2), "stride": (3, 3), "pad": (1, 1)},
        ),
        (
            "rect",
            "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1",
            {"kernel": (2, 3), "stride": (1, 2), "pad": (0, 1)},
        ),
        ("floor", "kernel_size: 3 stride: 2 round_mode: FLOOR", {"kernel": (3, 3), "stride": (2, 2), "floor": True}),
        (
            "floor pad",
            "kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR",
            {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "floor": True},
        ),
        (
            "stride beyond kernel floor",
            "kernel_size: 1 stride: 3 round_mode: FLOOR",
            {"kernel": (1, 1), "stride": (3, 3), "floor": True},
        ),
    ):
        add(
            f"pool {m} {label}",
            f'type: "Pooling" pooling_param {{ pool: {m} {text} }}',
            [((2, 2, 7, 6),), ((1, 2, 6, 9),)],
            lambda x, m=m, kw=kw: f.pooling(x, m, **kw)[0],
        )
    add(
        f"pool {m} mask" if m == "MAX" else "pool AVE global",
        f'type: "Pooling" pooling_param {{ pool: {m} '
        + ("kernel_size: 3 stride: 2 pad: 1 }" if m == "MAX" else "global_pooling: true }"),
        two((2, 2, 5, 4)),
        (lambda x: f.pooling(x, "MAX", (3, 3), (2, 2), (1, 1)))
        if m == "MAX"
        else (lambda x: x.mean((2, 3), keepdims=True)),
        tops=2 if m == "MAX" else 1,
        no_diff=(1,),
    )
    for levels, size in ((1, (2, 2, 3, 5)), (2, (2, 2, 5, 4)), (3, (1, 2, 13, 9))):
        add(
            f"spp {m} {levels}",
            f'type: "SPP" spp_param {{ pyramid_height: {levels} pool: {m} }}',
            [(size,), ((2, 2, 8, 11),)],
            lambda x, levels=levels, m=m: f.pyramid(x, levels, m),
        )

# normalization
add(
    "lrn across",
    'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.6 k: 2 }',
    two((2, 5, 2, 3)),
    lambda x: f.lrn(x, 3, 2, 0.6, 2),
)
add(
    "lrn wider than channels",
    'type: "LRN" lrn_param { local_size: 7 alpha: 1 }',
    two((2, 3, 2, 2)),
    lambda x: f.lrn(x, 7, 1, 0.75),
)
add(
    "lrn within",
    'type: "LRN" lrn_param { local_size: 5 alpha: 3 beta: 0.5 norm_region: WITHIN_CHANNEL k: 4 }',
    two((1, 2, 4, 6)),
    lambda x: f.lrn(x, 5, 3, 0.5, within=True),
)
add("mvn", 'type: "MVN" mvn_param { eps: 0.0001 }', two((2, 3, 3, 4)), lambda x: f.mvn(x, eps=1e-4))
add(
    "mvn mean across",
    'type: "MVN" mvn_param { across_channels: true normalize_variance: false }',
    two((2, 3, 2, 4)),
    lambda x: f.mvn(x, False, True),
)
add(
    "batch norm train",
    'type: "BatchNorm" batch_norm_param { eps: 0.01 }',
    two((3, 2, 3, 2)),
    lambda x, *_: f.batch_norm(x, eps=0.01),
    phase=caffe.TRAIN,
    still=(1, 2, 3),
)
add(
    "batch norm global in train",
    'type: "BatchNorm" batch_norm_param { use_global_stats: true }',
    two((3, 2, 3, 2)),
    lambda x, m, v, s: f.batch_norm(x, m / s, v / s),
    phase=caffe.TRAIN,
    still=(1, 2, 3),
)
add(
    "batch norm by batch in test",
    'type: "BatchNorm" batch_norm_param { use_global_stats: false }',
    two((4, 3)),
    lambda x, *_: f.batch_norm(x),
    still=(1, 2, 3),
)
add(
    "batch norm 3d",
    'type: "BatchNorm"',
    two((2, 3, 2, 2, 2)),
    lambda x, m, v, s: f.batch_norm(x, m / s, v / s),
    still=(1, 2, 3),
)
