"""SqueezeNet 1.1 of Iandola et al.: fire modules, 1x1 convolutions that feed 1x1 and 3x3 ones."""

from __future__ import annotations

from model_zoo.prototxt import AVE, MAX, Net
from model_zoo.recipes import WEIGHT_AND_BIAS, ending, gaussian, imagenet, solver

XAVIER = {"weight_filler": {"type": "xavier"}}
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Outputs of the 1x1 convolution of each fire module, and of each of the two that it feeds; from fire2 on."""
POOLED = (3, 5)
"""The fire modules with a pooling after them."""


def convolution(net: Net, name: str, bottom: str, outputs: int, kernel: int, *, first: bool = False) -> str:
    """Convolution and ReLU in place; the 3x3 ones of fire modules keep the size."""
    window = {"num_output": outputs, "kernel_size": kernel}
    window.update({"stride": 2} if first else {"pad": 1} if kernel == 3 else {})
    net.learned(name, "Convolution", bottom, "convolution_param", window, WEIGHT_AND_BIAS, XAVIER)
    return net.relu(
        f"{name.rpartition('/')[0]}/relu_{name.rpartition('/')[2]}" if "/" in name else "relu_" + name, name
    )


def fire(net: Net, number: int, bottom: str) -> str:
    """A fire module."""
    squeeze, expand = FIRES[number - 2]
    name = f"fire{number}"
    top = convolution(net, f"{name}/squeeze1x1", bottom, squeeze, 1)
    parts = [convolution(net, f"{name}/expand{kernel}x{kernel}", top, expand, kernel) for kernel in (1, 3)]
    return net.layer(f"{name}/concat", "Concat", parts, f"{name}/concat")


def squeezenet(train: bool) -> Net:
    """SqueezeNet 1.1."""
    title = (
        "SqueezeNet 1.1 (Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, 2016): 227x227 images, 1.2 million weights."
    )
    net = Net(title, "SqueezeNet 1.1", train)
    top = imagenet(net, 227, (32, 25)) if train else net.input(10, 3, 227, 227)
    net.comment("The only convolution with a stride.")
    top = net.pool("pool1", convolution(net, "conv1", top, 64, 3, first=True), MAX, 3, 2)
    net.comment("Fire modules: a few 1x1 filters feed many 1x1 and 3x3 ones.")
    for number in range(2, 10):
        top = fire(net, number, top)
        if number in POOLED:
            top = net.pool(f"pool{number}", top, MAX, 3, 2)
    net.comment("One map per class; its mean is the score.")
    top = net.dropout("drop9", top, 0.5)
    scores = {"num_output": 1000, "kernel_size": 1}
    fill = {"weight_filler": gaussian(0.01)}
    net.learned("conv10", "Convolution", top, "convolution_param", scores, WEIGHT_AND_BIAS, fill)
    net.relu("relu_conv10", "conv10")
    net.layer("pool10", "Pooling", "conv10", "pool10", pooling_param={"pool": AVE, "global_pooling": True})
    ending(net, "pool10")
    return net


STEPS = {
    "test_iter": 2000,
    "test_interval": 1000,
    "base_lr": 0.04,
    "lr_policy": "poly",
    "power": 1.0,
    "display": 40,
    "max_iter": 170000,
    "momentum": 0.9,
    "weight_decay": 0.0002,
    "iter_size": 16,
    "snapshot": 1000,
}


def files() -> dict[str, str]:
    """Content by path under models/."""
    rate = "68 epochs of 1.28 million images, 512 at a time in 16 parts; the rate falls to 0 on a line."
    found = {f"squeezenet/{file}.prototxt": str(squeezenet(file != "deploy")) for file in ("deploy", "train_val")}
    found["squeezenet/solver.prototxt"] = solver(rate, "squeezenet", **STEPS)
    return found
