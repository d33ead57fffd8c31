"""A small SSD for the shapes of tools/make_shapes.py: four feature maps of a 128x128 image, trained from scratch."""

from __future__ import annotations

from typing import Any, NamedTuple

from model_zoo.prototxt import LMDB, TEST, TRAIN, Net, Word, lines

CLASSES, SIDE = 4, 128
"""With the background; pixels of the input."""
BLUE_GREEN_RED = [104, 117, 123]
SCALE = 0.0078125
"""1/128, since the net has no pretrained weights that expect other values."""


class Head(NamedTuple):
    """Predictions from a feature map."""

    source: str
    smallest: int
    """Side of the smaller square prior in pixels; the larger one is between it and `largest`."""
    largest: int


def files() -> dict[str, str]:
    """Every file's text by its path under models/."""
    return {
        "ssd/shapes_train_test.prototxt": str(net(train=True)),
        "ssd/shapes_deploy.prototxt": str(net(train=False)),
        "ssd/shapes_solver.prototxt": solver(),
    }


def net(train: bool) -> Net:
    """Eight convolutions with batch normalization, and predictions at strides 8, 16, 32 and 64."""
    made = Net("A small SSD for 128x128 images: disks, squares and triangles; see README.md.", "SSD_shapes", train)
    data(made)
    made.comment("The body.")
    top = convolution(made, "conv1", "data", 16, 2)
    top = convolution(made, "conv2", top, 32, 2)
    top = convolution(made, "conv3_1", top, 48, 2)
    top = convolution(made, "conv3_2", top, 48)
    top = convolution(made, "conv4_1", top, 96, 2)
    top = convolution(made, "conv4_2", top, 96)
    top = convolution(made, "conv5", top, 128, 2)
    convolution(made, "conv6", top, 128, 2)
    heads = (Head("conv3_2", 16, 32), Head("conv4_2", 32, 56), Head("conv5", 56, 88), Head("conv6", 88, 120))
    names = [head(made, one, 8 << place) for place, one in enumerate(heads)]
    made.comment("All predictions together.")
    for part, axis in (("loc", 1), ("conf", 1), ("priorbox", 2)):
        flat = "" if part == "priorbox" else "_flat"
        parts = [f"{name}_mbox_{part}{flat}" for name in names]
        made.layer(f"mbox_{part}", "Concat", parts, f"mbox_{part}", concat_param={"axis": axis})
    detections(made, CLASSES, 100)
    return made


def data(made: Net) -> None:
    """Two databases of `netc data annotated`, or an input."""
    if not made.train:
        made.comment("A BGR image with 104, 117, 123 subtracted, divided by 128.")
        made.input(1, 3, SIDE, SIDE)
        return
    made.comment("The data, one database per phase; see README.md.")
    size = {"resize_mode": Word("WARP"), "height": SIDE, "width": SIDE}
    plain = {"mean_value": BLUE_GREEN_RED, "scale": SCALE, "resize_param": size}
    changes = {"mirror": True, "emit_constraint": {"emit_type": Word("CENTER")}}
    for phase, source, batch in ((TRAIN, "train_lmdb", 16), (TEST, "test_lmdb", 10)):
        samplers = {"batch_sampler": batch_samplers()} if phase == TRAIN else {}
        made.layer(
            *("data", "AnnotatedData", [], ["data", "label"]),
            include={"phase": phase},
            transform_param={**(changes if phase == TRAIN else {}), **plain},
            data_param={"source": f"data/shapes/{source}", "batch_size": batch, "backend": LMDB},
            annotated_data_param={**samplers, "label_map_file": "data/shapes/labelmap.prototxt"},
        )


def batch_samplers() -> list[dict[str, Any]]:
    """The whole image, or a part that contains most of an object."""
    shape = {"min_scale": 0.5, "max_scale": 1, "min_aspect_ratio": 0.5, "max_aspect_ratio": 2}
    part = {"sampler": shape, "sample_constraint": {"min_object_coverage": 0.9}, "max_sample": 1, "max_trials": 50}
    return [{"max_sample": 1, "max_trials": 1}, part]


def convolution(made: Net, name: str, bottom: str, outputs: int, stride: int = 1) -> str:
    """3x3, batch normalization, scale, ReLU."""
    window = {"num_output": outputs, "kernel_size": 3, "pad": 1, "bias_term": False}
    window |= {"stride": stride} if stride > 1 else {}
    fill = {"weight_filler": {"type": "msra"}}
    top = made.learned(name, "Convolution", bottom, "convolution_param", window, [{"lr_mult": 1}], fill)
    made.layer(f"{name}_bn", "BatchNorm", top, top)
    made.layer(f"{name}_scale", "Scale", top, top, scale_param={"bias_term": True})
    return made.relu(f"{name}_relu", top)


def head(made: Net, one: Head, step: int) -> str:
    """Codes, scores and priors of a feature map; four priors per cell."""
    made.comment(f"Predictions from {one.source}, a cell per {step} pixels.")
    priors = 4
    for part, count in (("loc", 4), ("conf", CLASSES)):
        name = f"{one.source}_mbox_{part}"
        window = {"num_output": priors * count, "kernel_size": 3, "pad": 1}
        fill = {"weight_filler": {"type": "xavier"}, "bias_filler": {"type": "constant", "value": 0}}
        param = [{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
        made.learned(name, "Convolution", one.source, "convolution_param", window, param, fill)
        made.layer(f"{name}_perm", "Permute", name, f"{name}_perm", permute_param={"order": [0, 2, 3, 1]})
        made.layer(f"{name}_flat", "Flatten", f"{name}_perm", f"{name}_flat", flatten_param={"axis": 1})
    sizes = {"min_size": one.smallest, "max_size": one.largest, "aspect_ratio": 2, "flip": True, "clip": False}
    values = {**sizes, "variance": [0.1, 0.1, 0.2, 0.2], "step": step, "offset": 0.5}
    name = f"{one.source}_mbox_priorbox"
    made.layer(name, "PriorBox", [one.source, "data"], name, prior_box_param=values)
    return one.source


def detections(made: Net, classes: int, kept: int) -> None:
    """The loss, and in test the detections and their evaluation."""
    parts = ["mbox_loc", "mbox_conf", "mbox_priorbox"]
    test: dict[str, Any] = {"include": {"phase": TEST}} if made.train else {}
    if made.train:
        made.layer(
            *("mbox_loss", "MultiBoxLoss", [*parts, "label"], "mbox_loss"),
            include={"phase": TRAIN},
            propagate_down=[True, True, False, False],
            loss_param={"normalization": Word("VALID")},
            multibox_loss_param=loss(classes),
        )
    made.comment("Scores, and objects without those that overlap a better one.")
    shape = {"shape": {"dim": [0, -1, classes]}}
    made.layer("mbox_conf_reshape", "Reshape", "mbox_conf", "mbox_conf_reshape", **test, reshape_param=shape)
    made.layer(
        *("mbox_conf_softmax", "Softmax", "mbox_conf_reshape", "mbox_conf_softmax"), **test, softmax_param={"axis": 2}
    )
    made.layer(
        *("mbox_conf_flatten", "Flatten", "mbox_conf_softmax", "mbox_conf_flatten"), **test, flatten_param={"axis": 1}
    )
    bottoms = ["mbox_loc", "mbox_conf_flatten", "mbox_priorbox"]
    made.layer(
        *("detection_out", "DetectionOutput", bottoms, "detection_out"),
        **test,
        detection_output_param=outputs(classes, kept),
    )
    if made.train:
        values = {"num_classes": classes, "background_label_id": 0, "overlap_threshold": 0.5}
        made.layer(
            *("detection_eval", "DetectionEvaluate", ["detection_out", "label"], "detection_eval"),
            **test,
            detection_evaluate_param={**values, "evaluate_difficult_gt": False},
        )


def outputs(classes: int, kept: int) -> dict[str, Any]:
    """The 400 best scores of a class are compared, and the best boxes of an image are kept."""
    return {
        "num_classes": classes,
        "share_location": True,
        "background_label_id": 0,
        "nms_param": {"nms_threshold": 0.45, "top_k": 400},
        "code_type": Word("CENTER_SIZE"),
        "keep_top_k": kept,
        "confidence_threshold": 0.01,
    }


def loss(classes: int) -> dict[str, Any]:
    """Matches with an overlap of one half, three negatives for each."""
    return {
        "loc_loss_type": Word("SMOOTH_L1"),
        "conf_loss_type": Word("SOFTMAX"),
        "loc_weight": 1,
        "num_classes": classes,
        "share_location": True,
        "match_type": Word("PER_PREDICTION"),
        "overlap_threshold": 0.5,
        "use_prior_for_matching": True,
        "background_label_id": 0,
        "use_difficult_gt": True,
        "neg_pos_ratio": 3,
        "neg_overlap": 0.5,
        "code_type": Word("CENTER_SIZE"),
        "mining_type": Word("MAX_NEGATIVE"),
    }


def solver() -> str:
    """Adam with two steps."""
    comment = "Trains in a few minutes on two cores: netc train models/ssd/shapes_solver.prototxt"
    fields = {
        "net": "models/ssd/shapes_train_test.prototxt",
        "test_iter": 15,
        "test_interval": 400,
        "type": "Adam",
        "base_lr": 0.003,
        "momentum": 0.9,
        "momentum2": 0.999,
        "weight_decay": 0.0001,
        "lr_policy": "multistep",
        "gamma": 0.2,
        "stepvalue": [800, 1050],
        "display": 100,
        "max_iter": 1200,
        "snapshot": 1200,
        "snapshot_prefix": "models/ssd/shapes",
        "eval_type": "detection",
        "ap_version": "11point",
        "show_per_class_result": True,
        "random_seed": 1,
        "solver_mode": Word("CPU"),
    }
    text = [f"# {comment}", *(line for key, value in fields.items() for line in lines(key, value))]
    return "\n".join(text) + "\n"
