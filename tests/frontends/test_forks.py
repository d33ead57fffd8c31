"""What forks of Caffe have beside BVLC's: read, explained, translated or refused."""

from __future__ import annotations

import pytest

import netc
from netc.compiler import checked_graph
from netc.diagnostics import NetcError, Source
from netc.frontends.caffe.forks import (
    V1_TYPES,
    explained,
    in_bvlc_terms,
    owner_of_type,
    unsupported,
    with_unknown_enums,
)
from netc.frontends.caffe.forks.fields import KNOWN, SHAPING
from netc.frontends.caffe.read import fields_of
from netc.frontends.reading import embedded_net
from netc.ir.fields import Fields
from netc.ir.graph import State
from netc.layers import registry
from netc.schema import as_dict, caffe, defaults, is_bvlc
from netc.text import parse, to_message

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 6, 13, 17] } } }\n'


def told(text: str, kind: str = "caffe.NetParameter", strict: bool = False):
    return explained(to_message(parse(Source("net", text)), kind)[1], strict)


def net(text: str) -> Fields:
    tree = parse(Source("net", text))
    message, found = to_message(tree, "caffe.NetParameter")
    assert not [d for d in found if d.severity == "error"]
    return fields_of(message, tree.root)


def graph(*layers: str):
    return checked_graph(embedded_net(net(INPUT + "".join(layers))), State())


def layer(type: str, parameters: str = "", bottom: str = "data", top: str = "top") -> str:
    bottoms = "".join(f'bottom: "{name}" ' for name in bottom.split())
    return f'layer {{ name: "under" type: "{type}" {bottoms}top: "{top}" {parameters} }}\n'


def errors(*layers: str) -> list[tuple[str, str, str]]:
    """Code, message and text at the place of each."""
    return [(d.code, d.message, d.span.text) for d in graph(*layers)[1].errors]


def made(*layers: str):
    """The layer called `under`, and the shape of its top."""
    built, report = graph(*layers)
    assert not report.errors, report.errors
    (node,) = [node for node in built.nodes if node.name == "under"]
    return node.layer, built.shape(node.tops[0])


def additions() -> set[tuple[str, str]]:
    """Every field and value that forks added to BVLC's messages; engines only tell where a layer is computed."""
    found = set()
    for message in caffe.DESCRIPTOR.message_types_by_name.values():
        if any(map(is_bvlc, message.fields)):
            found |= {(message.name, field.name) for field in message.fields if not is_bvlc(field)}
            enums = [f.enum_type for f in message.fields if f.enum_type and is_bvlc(f) and f.name != "engine"]
            found |= {(message.name, v.name) for enum in enums for v in enum.values if not is_bvlc(v)}
    return {(message, name) for message, name in found if (message, name.upper()) != ("V1LayerParameter", name)}


def test_each_addition_has_an_owner_and_a_meaning():
    assert set(KNOWN) == additions()
    assert {tuple(name.split(".")) for name in SHAPING} <= {key for key, known in KNOWN.items() if not known.supported}


def test_types_of_forks_are_not_bvlcs():
    assert not [name for name, cls in registry().items() if owner_of_type(name) and not cls.dialect]
    values = caffe.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values
    unnamed = {value.name for value in values if not is_bvlc(value)} - set(V1_TYPES)
    assert not unnamed
    assert all(name in registry() or owner_of_type(name) for name in V1_TYPES.values())


READS = """
    annotated_data_param { batch_sampler { sampler { min_scale: 0.3 } sample_constraint { min_jaccard_overlap: 0.1 } } }
    annotated_data_param { label_map_file: "labels.prototxt" anno_type: BBOX }
    bn_param { scale_filler { value: 1 } shift_filler { value: 0.001 } bn_mode: INFERENCE }
    bn_param { slope_filler { value: 1 } bias_filler { value: 0 } frozen: true momentum: 0.95 engine: CUDNN }
    bn_param { scale_filler { value: 1 } var_eps: 1e-9 moving_average: true decay: 0.1 axis: 1 }
    upsample_param { scale: 2 upsample_h: 45 upsample_w: 60 pad_out_h: true }
    upsample_param { scale: 2.0 }
    video_data_param { video_type: WEBCAM device_id: 1 skip_frames: 2 }
    video_data_param { source: "list" new_length: 8 modality: FLOW name_pattern: "flow_x_%04d" }
    prior_box_param { min_size: 30 min_size: 40 max_size: 60 aspect_ratio: [2, 3] flip: true variance: 0.1 step: 8 }
    prior_box_param { width: 12.5 height: 30.1 fixed_size: 16 density: 2 }
    detection_output_param { num_classes: 21 nms_param { nms_threshold: 0.45 top_k: 400 } code_type: CENTER_SIZE }
    detection_output_param { code_type: 2 objectness_score: 0.01 input_width: 300 }
    multibox_loss_param { loc_loss_type: SMOOTH_L1 mining_type: MAX_NEGATIVE code_type: CENTER_SIZE bp_inside: true }
    norm_param { across_spatial: false scale_filler { type: "constant" value: 20 } channel_shared: false }
    permute_param { order: [0, 2, 3, 1] }
    roi_pooling_param { pooled_w: 7 pooled_h: 7 spatial_scale: 0.0625 }
    smooth_l1_loss_param { sigma: 3 }
    psroi_pooling_param { spatial_scale: 0.0625 output_dim: 21 group_size: 7 }
    box_annotator_ohem_param { roi_per_img: 128 ignore_label: -1 }
    proposal_param { ratio: [0.5, 1] scale: 3 feat_stride: 16 pre_nms_topn: 6000 nms_thresh: 0.7 }
    interp_param { height: 60 width: 60 }
    interp_param { zoom_factor: 8 pad_beg: -1 }
    dense_crf_param { max_iter: 10 pos_w: 3 pos_xy_std: 3 bi_w: 4 bi_rgb_std: 3 bi_xy_std: 49 }
    dense_image_data_param { source: "a" batch_size: 4 label_divide_factor: 8 }
    detection_loss_param { side: 7 num_class: 20 object_scale: 1.0 sqrt: true constriant: true }
    detection_loss_param { cls_num: 5 coord_num: 4 lambda: 0.05 field_h: 60 sample_mode: "random" }
    region_loss_param { side: 13 num_class: 20 softmax: 1 jitter: 0.2 biases: [1.32, 1.73] random: 0 }
    yolov3_param { num_class: 20 anchors_scale: 32 biases: 10 mask: [0, 1, 2] use_logic_gradient: false }
    correlation_param { pad: 20 kernel_size: 1 max_displacement: 20 stride_2: 2 correlation_type: MULTIPLY }
    resample_param { width: 1024 height: 448 type: LINEAR antialias: true }
    augmentation_param { crop_width: 448 translate { rand_type: "uniform" spread: 0.4 } }
    shuffle_channel_param { group: 3 }
    lstm_param { num_output: 256 clipping_threshold: 1 }
    transpose_param { dim: [3, 2, 0, 1] }
    center_loss_param { num_output: 10572 center_filler { type: "xavier" } }
    margin_inner_product_param { num_output: 10572 type: QUADRUPLE base: 1000 gamma: 0.12 lambda_min: 5 }
    noise_param { gaussian_std: 0.1 }
    transform_param { resize_param { prob: 1 resize_mode: WARP interp_mode: [LINEAR, AREA] } mirror: true }
    transform_param { distort_param { brightness_prob: 0.5 } expand_param { prob: 0.5 } crop_h: 300 }
    transform_param { img_rand_resize_lower: 256 interpolation_algo_up: INTER_AREA allow_upscale: true }
    transform_param { fix_crop: true multi_scale: true scale_ratios: [1, 0.875] is_flow: true }
    pooling_param { pool: MAX kernel_size: 2 ceil_mode: false engine: MKL2017 }
    convolution_param { num_output: 3 hole: 2 engine: MKLDNN kernel_depth: 3 temporal_pad: 1 }
    loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 class_weighting: [0.2, 1.1] }
    batch_norm_param { scale_bias: true scale_filler { value: 1 } engine: CUDNN }
    image_data_param { label_type: PIXEL ignore_label: 255 new_length: 16 show_data: 0 }
    data_param { shuffle: true threads: 4 encoding: [UINT8, UINT16FLOW] }
    engine: "MKL2017" forward_type: FLOAT16 backward_math: FLOAT reshape_every_iter: false
""".strip().splitlines()


@pytest.mark.parametrize("text", [line.strip() for line in READS])
def test_layers_of_forks_read(text):
    message, found = to_message(parse(Source("net", text)), "caffe.LayerParameter")
    assert {d.code for d in found} == {"W002"}
    assert as_dict(message)


@pytest.mark.parametrize(
    "text",
    [
        'lr_policy: "plateau" plateau_winsize: 10000 plateau_winsize: 20000',
        'lr_policy: "multifixed" stagelr: [0.001, 0.0001] stageiter: [520, 16000]',
        'eval_type: "detection" ap_version: "11point" show_per_class_result: true',
        "warmup_iter: 500 warmup_start_lr: 0.001",
        "device_id: 0 device_id: 1",
        'rampup_interval: 500 rampup_lr: 0.1 min_lr: 1e-5 larc: true larc_policy: "clip" solver_data_type: FLOAT',
    ],
)
def test_solvers_of_forks_read(text):
    found = to_message(parse(Source("solver", text)), "caffe.SolverParameter")[1]
    assert {d.code for d in found} == {"W002"}


def test_types_of_forks_in_v1_files_read():
    text = "layers { type: UNPOOLING unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_size: 14 } }"
    message, found = to_message(parse(Source("net", text)), "caffe.NetParameter")
    assert {d.code for d in found} == {"W002"}
    assert as_dict(message)["layers"][0]["type"] == "UNPOOLING"


def test_fields_without_effect_are_not_reported():
    text = layer("PriorBox", "prior_box_param { min_size: 30 }") + layer("ReLU", 'engine: "MKL2017"')
    assert told(text) == []
    assert told("device_id: 0 device_id: 1 plateau_winsize: 100", "caffe.SolverParameter") == []


def test_a_reinterpreted_field_is_reported_once():
    text = layer("Pooling", "pooling_param { ceil_mode: false }") * 2
    assert [(d.code, d.line, d.message, d.notes, d.severity) for d in told(text)] == [
        (
            "W002",
            1,
            "`ceil_mode` is specific to soeaver's Caffe: read as `round_mode`",
            ("and at 1 more place",),
            "warning",
        )
    ]
    (found,) = told(layer("SoftmaxWithLoss", "loss_param { normalization: PRE_FIXED }"))
    assert found.message == "`PRE_FIXED` is specific to R-FCN's Caffe: divides the loss by `pre_fixed_normalizer`"


def test_strictly_only_bvlcs_schema_counts():
    text = layer("PriorBox", "prior_box_param { min_size: 30 } pooling_param { ceil_mode: true engine: MKLDNN }")
    found = told(text, strict=True)
    assert [(d.code, d.message, d.notes) for d in found] == [
        (
            "W001",
            "`prior_box_param` in `LayerParameter` is not part of BVLC's Caffe",
            ("it is specific to SSD's Caffe",),
        ),
        (
            "W001",
            "`ceil_mode` in `PoolingParameter` is not part of BVLC's Caffe",
            ("it is specific to soeaver's Caffe",),
        ),
        ("W001", "`engine: MKLDNN` in `PoolingParameter` is not part of BVLC's Caffe", ()),
    ]


def test_an_unknown_field_is_explained_by_where_it_belongs():
    found = told("layer { force_backward: true pooling_param { convolution: 1 } prior_box_parm { } }")
    assert [(d.code, d.message, d.notes, d.help) for d in found] == [
        (
            "W001",
            "unknown field `force_backward` in `LayerParameter`",
            ("`force_backward` is a field of `NetParameter`",),
            None,
        ),
        ("W001", "unknown field `convolution` in `PoolingParameter`", (), None),
        ("W001", "unknown field `prior_box_parm` in `LayerParameter`", (), "did you mean `prior_box_param`?"),
    ]


def unread(text: str, kind: str) -> Fields:
    tree = parse(Source("net", text))
    values = as_dict(to_message(tree, kind)[0])
    return Fields(with_unknown_enums(kind, values, tree.root), defaults(kind))


def test_an_unknown_enum_value_is_an_error_only_when_read():
    pooling = unread("pool: MEDIAN\nengine: FAST\nkernel_size: 3", "caffe.PoolingParameter")
    assert (pooling["kernel_size"], pooling["round_mode"], "pool" in pooling) == (3, "CEIL", True)
    for ask in (lambda: pooling["pool"], lambda: pooling.get("pool", "MAX")):
        with pytest.raises(NetcError) as raised:
            ask()
        (found,) = raised.value.diagnostics
        assert (found.code, found.message, found.line) == ("E008", "unknown value `MEDIAN` of `pool`", 1)
        assert found.notes == ("expected one of MAX, AVE, STOCHASTIC",)
    assert {name for name, value in pooling.values.items() if not isinstance(value, (int, str))} == {"pool", "engine"}


def test_ceil_mode_is_round_mode():
    window = "kernel_size: 3 stride: 2"
    floor, shape = made(layer("Pooling", f"pooling_param {{ {window} ceil_mode: false }}"))
    assert (floor.round_mode, shape) == ("FLOOR", (2, 6, 6, 8))
    assert made(layer("Pooling", "pooling_param { kernel_size: 4 stride: 2 ceil_mode: false }"))[1] == (2, 6, 5, 7)
    ceil, shape = made(layer("Pooling", "pooling_param { kernel_size: 4 stride: 2 ceil_mode: true }"))
    assert (ceil.round_mode, shape) == ("CEIL", (2, 6, 6, 8))
    assert made(layer("Pooling", f"pooling_param {{ {window} ceil_mode: false round_mode: FLOOR }}"))[0] == floor
    both = layer("Pooling", f"pooling_param {{ {window} ceil_mode: false round_mode: CEIL }}")
    assert errors(both) == [("E101", "`ceil_mode` and `round_mode` contradict each other", "false")]


@pytest.mark.parametrize(
    ("text", "dilation"),
    [("hole: 3", (3, 3)), ("hole_h: 2 hole_w: 4", (2, 4)), ("hole: 2 hole_w: 4", (2, 4)), ("dilation_h: 2", (2, 1))],
)
def test_holes_are_dilation(text, dilation):
    found = made(layer("Convolution", f"convolution_param {{ num_output: 5 kernel_size: 3 {text} }}"))[1]
    assert found == (2, 5, 13 - 2 * dilation[0], 17 - 2 * dilation[1])


def test_a_hole_and_a_dilation_contradict_each_other():
    text = layer("Convolution", "convolution_param { num_output: 5 kernel_size: 3 hole: 2 dilation: 3 }")
    assert errors(text) == [("E101", "`hole` and `dilation` contradict each other", "2")]


@pytest.mark.parametrize(
    ("text", "mode", "number"),
    [
        ("normalization: PRE_FIXED pre_fixed_normalizer: 128", "PRE_FIXED", 128),
        ("normalization: 3 pre_fixed_normalizer: 64", "PRE_FIXED", 64),
        ("normalization: NONE pre_fixed_normalizer: 64", "NONE", 64),
        ("normalization: 3", "NONE", 1),
        ("normalization: 4", "NONE", 1),
        ("normalize: false", "BATCH_SIZE", 1),
        ("normalize: true", "VALID", 1),
        ("ignore_label: 3", "VALID", 1),
    ],
)
def test_how_a_loss_is_normalized(text, mode, number):
    label = 'layer { name: "l" type: "Input" top: "label" input_param { shape { dim: [2, 1, 13, 17] } } }\n'
    loss, _ = made(label, layer("SoftmaxWithLoss", f"loss_param {{ {text} }}", "data label"))
    assert (loss.normalization, loss.pre_fixed_normalizer) == (mode, number)


def test_dropout_of_forks():
    dropout, _ = made(layer("Dropout", "dropout_param { dropout_ratio: 0.3 scale_train: false random_seed: 1 }"))
    assert (dropout.scale_train, dropout.sample_weights_test) == (False, False)
    assert made(layer("Dropout", "dropout_param { sample_weights_test: true }"))[0].sample_weights_test


@pytest.mark.parametrize(
    ("type", "parameters", "shown", "fork", "place"),
    [
        ("Convolution", "convolution_param { num_output: 5 kernel_size: 3 relu: true }", "`relu` is", "Intel", "true"),
        (
            "Pooling",
            "pooling_param { kernel_size: 3 avg_include_pad: false }",
            "`avg_include_pad` is",
            "Intel",
            "false",
        ),
        ("Pooling", "pooling_param { kernel_size: 3 torch_pooling: true }", "`torch_pooling` is", "NVIDIA", "true"),
        ("ReLU", "relu_param { upper_limit: 6 }", "`upper_limit` is", "Cambricon", "6"),
        ("Reduction", "reduction_param { operation: TOPK }", "`operation: TOPK` is", "yjxiong", "TOPK"),
        (
            "Convolution",
            'convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "msra" scale: 2 } }',
            "`scale` is",
            "Intel",
            "2",
        ),
    ],
)
def test_unsupported_fields_that_change_results_are_errors(type, parameters, shown, fork, place):
    assert errors(layer(type, parameters)) == [("E106", f"{shown} specific to {fork}'s Caffe and not supported", place)]


def test_a_default_changes_nothing():
    assert made(layer("Convolution", "convolution_param { num_output: 5 kernel_size: 3 relu: false kernel_depth: 1 }"))
    assert made(layer("Pooling", "pooling_param { kernel_size: 3 avg_include_pad: true engine: MKLDNN }"))


def test_shapes_are_inferred_beyond_what_does_not_change_them():
    text = layer("Convolution", "convolution_param { num_output: 5 kernel_size: 3 relu: true }", top="mid")
    built, report = graph(text, layer("ReLU", bottom="mid"))
    assert [d.code for d in report.errors] == ["E106"]
    assert built.shape("top") == (2, 5, 11, 15)
    shaping = layer("Convolution", "convolution_param { num_output: 5 kernel_size: 3 kernel_depth: 3 }", top="mid")
    built, report = graph(shaping, layer("ReLU", bottom="mid"))
    assert [d.code for d in report.errors] == ["E106"]
    assert [node.name for node in built.nodes] == ["data"]


def test_several_sources_of_a_data_layer():
    parameters = 'data_param { source: "a"\nsource: "b" batch_size: 2 backend: LMDB side: 7 }'
    text = f'layer {{ name: "under" type: "Data" top: "top" {parameters} }}\n'
    built, report = graph(text)
    found = [(d.code, d.message) for d in report.errors]
    assert found == [("E106", "`side` is specific to YOLO ports and not supported")]
    (layer,) = (node.layer for node in built.nodes if node.name == "under")
    assert layer.sources == ("a", "b")
    assert layer.to_caffe()["data_param"]["source__list"] == ["a", "b"]
    missing = [d.message for d in netc.check(Source("net", text.replace("side: 7", ""))) if d.code == "W020"]
    assert missing == ["the database `a` does not exist", "the database `b` does not exist"]


def test_settings_of_solvers_that_are_not_supported():
    text = "max_epoch: 500\nwarmup_iter: 5\nmax_momentum: 0\nplateau_winsize: 7\ndisabled_update: true"
    tree = parse(Source("solver", text))
    solver = fields_of(to_message(tree, "caffe.SolverParameter")[0], tree.root)
    assert [(d.code, d.line, d.message) for d in unsupported(solver, "SolverParameter")] == [
        ("E106", 5, "`disabled_update` is specific to Intel's Caffe and not supported"),
        ("E106", 1, "`max_epoch` is specific to NVIDIA's Caffe and not supported"),
    ]


def test_bvlcs_layers_are_unchanged():
    plain = net(layer("Pooling", "pooling_param { kernel_size: 3 round_mode: FLOOR }"))["layer"][0]
    terms, found = in_bvlc_terms(plain)
    assert terms is plain
    assert found == []


@pytest.mark.parametrize(
    ("type", "parameters", "note"),
    [
        ("MnActivation", "", "`MnActivation` is a layer of Intel's Caffe; netc does not support it yet"),
        (
            "PoseHeatMapLoss",
            "",
            "`PoseHeatMapLoss` is a layer of pose_action_caffe's Caffe; netc does not support it yet",
        ),
        (
            "OPData",
            "",
            "`OPData` is a layer of OpenPose's Caffe; netc does not support it yet",
        ),
        (
            "Filter",
            "filter_param { num_output: 3 }",
            "`Filter` with `filter_param` is a layer of channel pruning's Caffe; netc does not support it yet",
        ),
    ],
)
def test_a_layer_of_a_fork_is_named_as_such(type, parameters, note):
    (found,) = graph(layer(type, parameters))[1].errors
    assert (found.code, found.message, found.help) == ("E010", f"unsupported layer type `{type}`", None)
    assert found.notes[0] == note


def test_a_mistyped_layer_is_not():
    (found,) = graph(layer("Poling"))[1].errors
    assert (found.message, found.help) == ("unknown layer type `Poling`", "did you mean `Pooling`?")


def test_further_tops_of_a_data_layer_are_those_of_a_fork():
    text = layer("Data", 'data_param { source: "x" batch_size: 2 }', bottom="", top='a" top: "b" top: "c')
    built, report = graph(text)
    assert not report.errors
    assert [(d.code, d.span.text) for d in report.warnings] == [("W002", '"c"')]
    assert [built.shape(name) for name in "bc"] == [(2,), None]


@pytest.mark.parametrize("mark", ["relu_param { engine: MKLDNN }", 'engine: "MKL2017"'])
def test_intel_clips_the_windows_of_a_kernel_of_1(mark):
    pooling = layer("Pooling", "pooling_param { kernel_size: 1 stride: 2 }", top="mid")  # of a plane of 13 by 17
    even = pooling.replace("stride: 2", "stride: 3")
    for text, bvlc, intel in ((pooling, (7, 9), (7, 9)), (even, (5, 7), (5, 6))):
        assert graph(text, layer("ReLU", bottom="mid"))[0].shape("top")[2:] == bvlc
        assert graph(text, layer("ReLU", mark, bottom="mid"))[0].shape("top")[2:] == intel
    wide = even.replace("kernel_size: 1", "kernel_size: 2")
    assert graph(wide, layer("ReLU", mark, bottom="mid"))[0].shape("top")[2:] == (5, 6)
