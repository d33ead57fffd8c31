"""SSD300 of Liu et al. on the body of VGG-16, for the 20 classes of PASCAL VOC."""

from __future__ import annotations

from typing import Any, NamedTuple

from model_zoo.prototxt import LMDB, MAX, TEST, TRAIN, Net, Word, lines
from model_zoo.recipes import BLUE_GREEN_RED, WEIGHT_AND_BIAS, constant
from model_zoo.ssd_shapes import detections
from model_zoo.vgg import CHANNELS, KERNELS, XAVIER

CLASSES, SIDE = 21, 300
"""With the background; pixels of the input."""
FURTHER = ((256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1))
"""Outputs of the two convolutions of the stages 6 to 9, and the stride of the second; without one it is not padded."""


class Head(NamedTuple):
    """Predictions from a feature map."""

    source: str
    smallest: int
    """Side of the smaller square prior in pixels; the larger one is between it and `largest`."""
    largest: int
    ratios: tuple[int, ...]
    """Width by height of further priors."""
    step: int
    """Pixels between cells."""


HEADS = (
    Head("conv4_3_norm", 30, 60, (2,), 8),
    Head("fc7", 60, 111, (2, 3), 16),
    Head("conv6_2", 111, 162, (2, 3), 32),
    Head("conv7_2", 162, 213, (2, 3), 64),
    Head("conv8_2", 213, 264, (2,), 100),
    Head("conv9_2", 264, 315, (2,), 300),
)


def files() -> dict[str, str]:
    """Every file's text by its path under models/."""
    return {
        "ssd/ssd300_vgg16_train_test.prototxt": str(net(train=True)),
        "ssd/ssd300_vgg16_deploy.prototxt": str(net(train=False)),
        "ssd/ssd300_vgg16_solver.prototxt": solver(),
    }


def net(train: bool) -> Net:
    """VGG-16 with fc6 and fc7 as convolutions, four further stages, and predictions from six feature maps."""
    title = "SSD300 of Liu et al. (2016) on VGG-16: 300x300 images, 20 classes of PASCAL VOC; see README.md."
    made = Net(title, "SSD300_VGG16", train)
    data(made)
    body(made)
    for head in HEADS:
        predictions(made, head)
    made.comment("All predictions together: 8732 boxes.")
    for part, axis in (("loc", 1), ("conf", 1), ("priorbox", 2)):
        flat = "" if part == "priorbox" else "_flat"
        parts = [f"{head.source}_mbox_{part}{flat}" for head in HEADS]
        made.layer(f"mbox_{part}", "Concat", parts, f"mbox_{part}", concat_param={"axis": axis})
    detections(made, CLASSES, 200)
    return made


def data(made: Net) -> None:
    """Two databases of `netc data annotated`, or an input."""
    if not made.train:
        made.comment("A BGR image with 104, 117, 123 subtracted.")
        made.input(1, 3, SIDE, SIDE)
        return
    made.comment("The data, one database per phase; see README.md.")
    size: dict[str, Any] = {"resize_mode": Word("WARP"), "height": SIDE, "width": SIDE}
    every = [Word(name) for name in ("LINEAR", "AREA", "NEAREST", "CUBIC", "LANCZOS4")]
    colors: dict[str, Any] = {"brightness_prob": 0.5, "brightness_delta": 32}
    colors |= {"contrast_prob": 0.5, "contrast_lower": 0.5, "contrast_upper": 1.5, "hue_prob": 0.5, "hue_delta": 18}
    colors |= {"saturation_prob": 0.5, "saturation_lower": 0.5, "saturation_upper": 1.5, "random_order_prob": 0}
    changes = {
        "mirror": True,
        "mean_value": BLUE_GREEN_RED,
        "resize_param": {**size, "interp_mode": every},
        "distort_param": colors,
        "expand_param": {"prob": 0.5, "max_expand_ratio": 4},
        "emit_constraint": {"emit_type": Word("CENTER")},
    }
    plain = {"mean_value": BLUE_GREEN_RED, "resize_param": {**size, "interp_mode": Word("LINEAR")}}
    for phase, source, batch in ((TRAIN, "trainval_lmdb", 32), (TEST, "test_lmdb", 8)):
        samplers = {"batch_sampler": batch_samplers()} if phase == TRAIN else {}
        made.layer(
            *("data", "AnnotatedData", [], ["data", "label"]),
            include={"phase": phase},
            transform_param=changes if phase == TRAIN else plain,
            data_param={"source": f"data/voc/{source}", "batch_size": batch, "backend": LMDB},
            annotated_data_param={**samplers, "label_map_file": "data/voc/labelmap.prototxt"},
        )


def batch_samplers() -> list[dict[str, Any]]:
    """The whole image, or parts that overlap an object by different amounts."""
    shape = {"min_scale": 0.3, "max_scale": 1, "min_aspect_ratio": 0.5, "max_aspect_ratio": 2}
    overlaps = [{"min_jaccard_overlap": overlap} for overlap in (0.1, 0.3, 0.5, 0.7, 0.9)]
    parts = [*overlaps, {"max_jaccard_overlap": 1}]
    return [
        {"max_sample": 1, "max_trials": 1},
        *({"sampler": shape, "sample_constraint": one, "max_sample": 1, "max_trials": 50} for one in parts),
    ]


def body(made: Net) -> None:
    """The convolutions up to conv9_2."""
    made.comment("The body: VGG-16, whose pool5 keeps the size.")
    top = "data"
    for stage, (kernels, channels) in enumerate(zip(KERNELS["D"], CHANNELS), 1):
        for number, _ in enumerate(kernels, 1):
            top = convolution(made, f"conv{stage}_{number}", f"relu{stage}_{number}", top, channels, 3, pad=1)
        last = {"kernel": 3, "stride": 1, "pad": 1} if stage == 5 else {"kernel": 2, "stride": 2}
        top = made.pool(f"pool{stage}", top, MAX, **last)
    top = convolution(made, "fc6", "relu6", top, 1024, 3, pad=6, dilation=6)
    top = convolution(made, "fc7", "relu7", top, 1024, 1)
    made.comment("Further stages, down to one cell.")
    for stage, (narrow, wide, stride) in enumerate(FURTHER, 6):
        names = [f"conv{stage}_{number}" for number in (1, 2)]
        top = convolution(made, names[0], f"{names[0]}_relu", top, narrow, 1)
        window = {"pad": 1, "stride": 2} if stride == 2 else {}
        top = convolution(made, names[1], f"{names[1]}_relu", top, wide, 3, **window)
    made.comment("conv4_3 has larger values than the other maps.")
    scale = {"scale_filler": constant(20)} if made.train else {}
    values = {"across_spatial": False, **scale, "channel_shared": False}
    made.layer("conv4_3_norm", "Normalize", "conv4_3", "conv4_3_norm", norm_param=values)


def convolution(made: Net, name: str, relu: str, bottom: str, outputs: int, kernel: int, **window: int) -> str:
    """A convolution and its ReLU."""
    values = {"num_output": outputs, "kernel_size": kernel, **window}
    made.learned(name, "Convolution", bottom, "convolution_param", values, WEIGHT_AND_BIAS, XAVIER)
    return made.relu(relu, name)


def predictions(made: Net, head: Head) -> None:
    """Codes, scores and priors of a feature map."""
    made.comment(f"Predictions from {head.source}, a cell per {head.step} pixels.")
    priors = 2 + 2 * len(head.ratios)
    for part, count in (("loc", 4), ("conf", CLASSES)):
        name = f"{head.source}_mbox_{part}"
        window = {"num_output": priors * count, "kernel_size": 3, "pad": 1}
        made.learned(name, "Convolution", head.source, "convolution_param", window, WEIGHT_AND_BIAS, XAVIER)
        made.layer(f"{name}_perm", "Permute", name, f"{name}_perm", permute_param={"order": [0, 2, 3, 1]})
        made.layer(f"{name}_flat", "Flatten", f"{name}_perm", f"{name}_flat", flatten_param={"axis": 1})
    sizes = {"min_size": head.smallest, "max_size": head.largest, "aspect_ratio": list(head.ratios)}
    values = {**sizes, "flip": True, "clip": False, "variance": [0.1, 0.1, 0.2, 0.2], "step": head.step, "offset": 0.5}
    name = f"{head.source}_mbox_priorbox"
    made.layer(name, "PriorBox", [head.source, "data"], name, prior_box_param=values)


def solver() -> str:
    """SGD with two steps, from the public weights of VGG-16 without its classifier."""
    comment = "Starts from VGG-16 for ImageNet: netc train models/ssd/ssd300_vgg16_solver.prototxt --weights FILE"
    fields = {
        "net": "models/ssd/ssd300_vgg16_train_test.prototxt",
        "test_iter": 619,
        "test_interval": 10000,
        "test_initialization": False,
        "base_lr": 0.001,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "lr_policy": "multistep",
        "gamma": 0.1,
        "stepvalue": [80000, 100000, 120000],
        "display": 10,
        "average_loss": 10,
        "max_iter": 120000,
        "snapshot": 40000,
        "snapshot_prefix": "models/ssd/ssd300_vgg16",
        "eval_type": "detection",
        "ap_version": "11point",
    }
    text = [f"# {comment}", *(line for key, value in fields.items() for line in lines(key, value))]
    return "\n".join(text) + "\n"
