"""SegNet of Badrinarayanan, Kendall and Cipolla, and a small one for the data of tools/make_shapes.py."""

from __future__ import annotations

from typing import Any

from model_zoo import fcn
from model_zoo.prototxt import TEST, TRAIN, Net, Word
from model_zoo.recipes import WEIGHT_AND_BIAS, constant, gaussian, solver
from model_zoo.vgg import CHANNELS, KERNELS

MSRA = {"weight_filler": {"type": "msra"}, "bias_filler": constant(0)}
BN = {"scale_filler": constant(1), "shift_filler": constant(0.001)}
BN_PARAM = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 1, "decay_mult": 0}]
CLASSES = 11
WEIGHTS = (0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614)
"""Those of CamVid's classes: the median of their frequencies, divided by the frequency."""


def normalized(net: Net, name: str, bottom: str, channels: int) -> str:
    """A 3x3 convolution, SegNet's batch normalization and ReLU."""
    window = {"num_output": channels, "pad": 1, "kernel_size": 3}
    net.learned(name, "Convolution", bottom, "convolution_param", window, WEIGHT_AND_BIAS, MSRA)
    fields: dict[str, Any] = {"bn_mode": Word("LEARN"), **(BN if net.train else {})}
    net.layer(f"{name}_bn", "BN", name, name, param=BN_PARAM if net.train else None, bn_param=fields)
    return net.relu(f"{name}_relu", name)


def encoder(net: Net, stage: int, top: str, channels: int, count: int) -> str:
    """Convolutions and a pooling."""
    net.comment(f"Encoder {stage}: {channels} channels")
    for number in range(1, count + 1):
        top = normalized(net, f"conv{stage}_{number}", top, channels)
    return pool(net, stage, top)


def pool(net: Net, stage: int, top: str) -> str:
    """A pooling that also returns where it found its values."""
    pooling = {"pool": Word("MAX"), "kernel_size": 2, "stride": 2}
    return net.layer(f"pool{stage}", "Pooling", top, [f"pool{stage}", f"pool{stage}_mask"], pooling_param=pooling)


def upsample(net: Net, stage: int, top: str) -> str:
    """Values go where the pooling of the encoder found its own."""
    name = f"upsample{stage}"
    return net.layer(name, "Upsample", [top, f"pool{stage}_mask"], name, upsample_param={"scale": 2})


def classifier(net: Net, name: str, top: str, classes: int) -> None:
    """The scores of each pixel, and probabilities in a deployed net."""
    window = {"num_output": classes, "pad": 1, "kernel_size": 3}
    settings = {**window, **(MSRA if net.train else {})}
    param = WEIGHT_AND_BIAS if net.train else None
    net.layer(name, "Convolution", top, "score", param=param, convolution_param=settings)
    if not net.train:
        net.layer("prob", "Softmax", "score", "prob")


def segnet(train: bool) -> Net:
    """The published net, for CamVid."""
    title = "SegNet of Badrinarayanan, Kendall and Cipolla (2015): 11 classes for each pixel of CamVid's road scenes."
    net = Net(title, "SegNet", train)
    top = camvid(net) if train else net.input(1, 3, 352, 480)
    counts = [len(kernels) for kernels in KERNELS["D"]]
    for stage, (channels, count) in enumerate(zip(CHANNELS, counts), 1):
        top = encoder(net, stage, top, channels, count)
    for stage in range(5, 0, -1):
        net.comment(f"Decoder {stage}")
        top = upsample(net, stage, top)
        below = CHANNELS[max(0, stage - 2)]
        for number in range(counts[stage - 1], int(stage == 1), -1):
            top = normalized(net, f"conv{stage}_{number}_D", top, CHANNELS[stage - 1] if number > 1 else below)
    classifier(net, "conv1_1_D", top, CLASSES)
    if train:
        loss = {"weight_by_label_freqs": True, "ignore_label": CLASSES, "class_weighting": list(WEIGHTS)}
        net.layer("loss", "SoftmaxWithLoss", ["score", "label"], "loss", loss_param=loss)
        void = {"ignore_label": CLASSES}
        net.layer("accuracy", "Accuracy", ["score", "label"], "accuracy", accuracy_param=void, include={"phase": TEST})
    return net


SHAPES = {1: (16, 1), 2: (32, 2), 3: (64, 2), 4: (128, 2)}
"""Channels and convolutions of each stage of the small net."""
SCORES = {"weight_filler": gaussian(0.01), "bias_filler": constant(0)}
"""Small scores at first: large ones make training slow to start."""


def shapes(train: bool) -> Net:
    """A small net of the same form, with the batch normalization of BVLC Caffe."""
    title = "A small SegNet for shapes on photographs: background, disks, squares and triangles."
    net = Net(title, "SegNet_shapes", train)
    top = fcn.pairs(net)
    for stage, (channels, count) in SHAPES.items():
        net.comment(f"Encoder {stage}: {channels} channels")
        for number in range(1, count + 1):
            top = fcn.normalized(net, f"conv{stage}_{number}", top, channels)
        top = pool(net, stage, top)
    for stage, (channels, count) in reversed(SHAPES.items()):
        net.comment(f"Decoder {stage}")
        top = upsample(net, stage, top)
        for number in range(count, 0, -1):
            below = channels if number > 1 or stage == 1 else SHAPES[stage - 1][0]
            top = fcn.normalized(net, f"conv{stage}_{number}_D", top, below)
    fcn.score(net, "score", top, 4, SCORES)
    fcn.pixel_losses(net)
    return net


def camvid(net: Net) -> str:
    """The data layers: one list of pairs per phase."""
    net.comment("The data, one list per phase; see README.md.")
    for phase, split, batch in ((TRAIN, "train", 4), (TEST, "test", 1)):
        source = {
            "source": f"data/camvid/{split}.txt",
            "batch_size": batch,
            "new_height": 352,
            "new_width": 480,
            **({"shuffle": True} if phase == TRAIN else {}),
        }
        net.layer(
            "data", "DenseImageData", [], ["data", "label"], include={"phase": phase}, dense_image_data_param=source
        )
    return "data"


RECIPE = """40,000 iterations of 4 images, as in the authors' tutorial. The encoder starts from VGG net D."""


def files() -> dict[str, str]:
    """Content by path under models/."""
    return {
        "segnet/deploy.prototxt": str(segnet(False)),
        "segnet/train_val.prototxt": str(segnet(True)),
        "segnet/solver.prototxt": solver(
            RECIPE,
            "segnet",
            test_iter=233,
            test_interval=1000,
            test_initialization=False,
            base_lr=0.001,
            lr_policy="step",
            gamma=1.0,
            stepsize=10000000,
            display=20,
            max_iter=40000,
            momentum=0.9,
            weight_decay=0.0005,
            snapshot=1000,
        ),
        "segnet/shapes_deploy.prototxt": str(shapes(False)),
        "segnet/shapes_train_val.prototxt": str(shapes(True)),
        "segnet/shapes_solver.prototxt": fcn.shapes_solver("segnet", 2000, 0.003),
    }
