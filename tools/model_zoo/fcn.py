"""FCN-8s of Long, Shelhamer and Darrell, and a small one of the same form for the data of tools/make_shapes.py."""

from __future__ import annotations

from typing import Any

from model_zoo.prototxt import MAX, SUM, TEST, TRAIN, Net, Word, lines
from model_zoo.recipes import WEIGHT, WEIGHT_AND_BIAS, constant, solver
from model_zoo.vgg import CHANNELS, KERNELS, XAVIER

MEAN = (104.00699, 116.66877, 122.67892)
FIXED = [{"lr_mult": 0}]
VOID = 255
"""The label of pixels without a class."""
CROPS = {"score_pool4": 5, "score_pool3": 9, "score": 31}
"""Where the crops begin: what conv1_1's padding of 100 adds, at each stride."""


def voc(net: Net) -> str:
    """The data layers of the published definition: SBDD's training images, VOC 2011's for validation."""
    net.comment("The data, one folder per phase, an image at a time; see README.md.")
    for phase, layer, folder, split in (
        (TRAIN, "SBDDSegDataLayer", "'sbdd_dir': 'data/sbdd/dataset'", "train"),
        (TEST, "VOCSegDataLayer", "'voc_dir': 'data/pascal/VOC2011'", "seg11valid"),
    ):
        text = f"{{{folder}, 'seed': 1337, 'split': '{split}', 'mean': {MEAN}}}"
        python = {"module": "voc_layers", "layer": layer, "param_str": text}
        net.layer("data", "Python", [], ["data", "label"], include={"phase": phase}, python_param=python)
    return "data"


def upsampling(net: Net, name: str, bottom: str, classes: int, stride: int, pad: int = 0) -> str:
    """A fixed bilinear deconvolution of each class."""
    window = {"num_output": classes, "bias_term": False, "kernel_size": 2 * stride, "stride": stride}
    fill = {"weight_filler": {"type": "bilinear_diagonal"}}
    return net.learned(
        name, "Deconvolution", bottom, "convolution_param", {**window, **({"pad": pad} if pad else {})}, FIXED, fill
    )


def score(net: Net, name: str, bottom: str, classes: int, fill: dict[str, Any]) -> str:
    """The scores of each place."""
    return net.learned(
        name,
        "Convolution",
        bottom,
        "convolution_param",
        {"num_output": classes, "kernel_size": 1},
        WEIGHT_AND_BIAS,
        fill,
    )


def fused(net: Net, coarse: str, skip: str, pool: str, offset: int) -> str:
    """The sum of upsampled scores and those of an earlier pooling, cropped to them."""
    crop = {"axis": 2, "offset": offset}
    net.layer(f"{skip}c", "Crop", [skip, coarse], f"{skip}c", crop_param=crop)
    return net.layer(f"fuse_{pool}", "Eltwise", [coarse, f"{skip}c"], f"fuse_{pool}", eltwise_param={"operation": SUM})


def fcn8s(train: bool) -> Net:
    """The published net, with the layers of VGG net D."""
    title = (
        "FCN-8s of Long, Shelhamer and Darrell (2015): the scores of 21 classes for each pixel of an image of any size."
    )
    net = Net(title, "FCN_8s", train)
    top = voc(net) if train else net.input(1, 3, 500, 500)
    for stage, (kernels, channels) in enumerate(zip(KERNELS["D"], CHANNELS), 1):
        net.comment(f"Stride {1 << stage - 1}, {channels} channels")
        for number, kernel in enumerate(kernels, 1):
            name = f"conv{stage}_{number}"
            window = {"num_output": channels, "pad": 100 if name == "conv1_1" else 1, "kernel_size": kernel}
            net.learned(name, "Convolution", top, "convolution_param", window, WEIGHT_AND_BIAS, XAVIER)
            top = net.relu(f"relu{stage}_{number}", name)
        top = net.pool(f"pool{stage}", top, MAX, 2, 2)
    net.comment("The classifier as convolutions")
    for layer, kernel in ((6, 7), (7, 1)):
        window = {"num_output": 4096, "kernel_size": kernel}
        net.learned(f"fc{layer}", "Convolution", top, "convolution_param", window, WEIGHT_AND_BIAS, XAVIER)
        top = net.dropout(f"drop{layer}", net.relu(f"relu{layer}", f"fc{layer}"), 0.5)
    zeros: dict[str, Any] = {"weight_filler": constant(0), "bias_filler": constant(0)}
    net.comment("Scores at stride 32, then with those of pool4 and pool3 at strides 16 and 8")
    top = upsampling(net, "upscore2", score(net, "score_fr", top, 21, zeros), 21, 2)
    skip = score(net, "score_pool4", "pool4", 21, zeros)
    top = upsampling(net, "upscore_pool4", fused(net, top, skip, "pool4", CROPS[skip]), 21, 2)
    skip = score(net, "score_pool3", "pool3", 21, zeros)
    top = upsampling(net, "upscore8", fused(net, top, skip, "pool3", CROPS[skip]), 21, 8)
    net.layer("score", "Crop", [top, "data"], "score", crop_param={"axis": 2, "offset": CROPS["score"]})
    if train:
        loss = {"ignore_label": VOID, "normalize": False}
        net.layer("loss", "SoftmaxWithLoss", ["score", "label"], "loss", loss_param=loss)
    return net


MSRA = {"weight_filler": {"type": "msra"}, "bias_filler": constant(0)}
SHAPES_SIDE = 96
"""Height and width to which images of shapes are resized."""


def pairs(net: Net) -> str:
    """Shapes on photographs, resized."""
    if not net.train:
        return net.input(1, 3, SHAPES_SIDE, SHAPES_SIDE)
    net.comment("The data, one list per phase; see README.md.")
    for phase, split, batch in ((TRAIN, "train", 16), (TEST, "test", 15)):
        source = {
            "source": f"data/shapes/{split}_pairs.txt",
            "root_folder": "data/shapes/",
            "batch_size": batch,
            "new_height": SHAPES_SIDE,
            "new_width": SHAPES_SIDE,
            "label_type": Word("PIXEL"),
            "ignore_label": VOID,
            **({"shuffle": True} if phase == TRAIN else {}),
        }
        net.layer(
            *("data", "ImageSegData", [], ["data", "label"]),
            include={"phase": phase},
            transform_param={**(SHAPES_CHANGES if phase == TRAIN else {}), **SHAPES_TRANSFORM},
            image_data_param=source,
        )
    return "data"


SHAPES_CHANGES = {"mirror": True, "crop_size": SHAPES_SIDE, "scale_factors": [0.8, 1.0, 1.25]}
"""What changes images at random in training, and their label maps with them."""
SHAPES_TRANSFORM = {"mean_value": [104, 117, 123], "scale": 0.015625}


def normalized(net: Net, name: str, bottom: str, channels: int, stride: int = 1) -> str:
    """A 3x3 convolution, batch normalization and ReLU."""
    window = {"num_output": channels, "pad": 1, "kernel_size": 3, **({"stride": stride} if stride > 1 else {})}
    fill = {"weight_filler": {"type": "msra"}}
    net.learned(name, "Convolution", bottom, "convolution_param", {**window, "bias_term": False}, WEIGHT, fill)
    average = {"moving_average_fraction": 0.95} if net.train else None
    net.layer(f"{name}_bn", "BatchNorm", name, name, batch_norm_param=average)
    net.layer(f"{name}_scale", "Scale", name, name, scale_param={"bias_term": True})
    return net.relu(f"{name}_relu", name)


def shapes(train: bool) -> Net:
    """A small net of the same form: scores at strides 32, 16 and 8."""
    net = Net(
        "A small FCN-8s for shapes on photographs: background, disks, squares and triangles.", "FCN_shapes", train
    )
    top = pairs(net)
    skips = {}
    for stage, channels in enumerate((16, 32, 64, 96, 128), 1):
        net.comment(f"Stride {1 << stage}, {channels} channels")
        top = normalized(net, f"conv{stage}_1", top, channels, 2)
        if stage > 1:
            top = normalized(net, f"conv{stage}_2", top, channels)
        skips[stage] = top
    net.comment("Scores at stride 32, then with those at strides 16 and 8")
    top = score(net, "score_fr", top, 4, MSRA)
    for stage in (4, 3):
        skip = score(net, f"score_conv{stage}", skips[stage], 4, MSRA)
        name = f"upscore_conv{stage}"
        above = net.layer(
            f"{name}c", "Crop", [upsampling(net, name, top, 4, 2, 1), skip], f"{name}c", crop_param={"axis": 2}
        )
        top = net.layer(f"fuse{stage}", "Eltwise", [above, skip], f"fuse{stage}", eltwise_param={"operation": SUM})
    top = upsampling(net, "upscore8", top, 4, 8, 4)
    net.layer("score", "Crop", [top, "data"], "score", crop_param={"axis": 2})
    pixel_losses(net)
    return net


def pixel_losses(net: Net) -> None:
    """Loss, and in test the share of right pixels, without void ones."""
    if net.train:
        void = {"ignore_label": VOID}
        net.layer("loss", "SoftmaxWithLoss", ["score", "label"], "loss", loss_param=void)
        net.layer(
            *("accuracy", "Accuracy", ["score", "label"], "accuracy"), include={"phase": TEST}, accuracy_param=void
        )


def shapes_solver(model: str, iterations: int, rate: float) -> str:
    """Adam with a rate that falls to zero."""
    fields = {
        "net": f"models/{model}/shapes_train_val.prototxt",
        "test_iter": 10,
        "test_interval": iterations,
        "test_initialization": False,
        "type": "Adam",
        "base_lr": rate,
        "lr_policy": "poly",
        "power": 1,
        "momentum": 0.9,
        "momentum2": 0.999,
        "weight_decay": 0.0001,
        "display": 50,
        "max_iter": iterations,
        "snapshot": iterations,
        "snapshot_prefix": f"models/{model}/shapes",
        "random_seed": 1,
    }
    text = [f"# Trains in minutes on two cores: netc train models/{model}/shapes_solver.prototxt"]
    return "\n".join(text + [line for key, value in fields.items() for line in lines(key, value)]) + "\n"


RECIPE = """100,000 images, one per iteration, as published: unnormalized loss, a fixed rate of 1e-14 and momentum 0.99.
It starts from FCN-16s, which starts from FCN-32s (rates 1e-12 and 1e-10), which starts from VGG net D."""


def files() -> dict[str, str]:
    """Content by path under models/."""
    return {
        "fcn8s/deploy.prototxt": str(fcn8s(False)),
        "fcn8s/train_val.prototxt": str(fcn8s(True)),
        "fcn8s/solver.prototxt": solver(
            RECIPE,
            "fcn8s",
            test_iter=736,
            test_interval=999999,
            test_initialization=False,
            base_lr=1e-14,
            lr_policy="fixed",
            display=20,
            average_loss=20,
            max_iter=100000,
            momentum=0.99,
            weight_decay=0.0005,
            snapshot=4000,
        ),
        "fcn8s/shapes_deploy.prototxt": str(shapes(False)),
        "fcn8s/shapes_train_val.prototxt": str(shapes(True)),
        "fcn8s/shapes_solver.prototxt": shapes_solver("fcn8s", 2000, 0.004),
    }
