"""AlexNet and variants: CaffeNet, and AlexNet-GAP for class activation maps."""

from __future__ import annotations

from typing import Any

from model_zoo.prototxt import AVE, MAX, Net
from model_zoo.recipes import (
    BLUE_GREEN_RED,
    WEIGHT_AND_BIAS,
    constant,
    databases,
    ending,
    gaussian,
    imagenet,
    solver,
)

CONVOLUTIONS = {
    "conv1": {"num_output": 96, "kernel_size": 11, "stride": 4},
    "conv2": {"num_output": 256, "kernel_size": 5, "pad": 2, "group": 2},
    "conv3": {"num_output": 384, "kernel_size": 3, "pad": 1},
    "conv4": {"num_output": 384, "kernel_size": 3, "pad": 1, "group": 2},
    "conv5": {"num_output": 256, "kernel_size": 3, "pad": 1, "group": 2},
}


def convolution(net: Net, name: str, bottom: str, window: dict[str, Any], bias: float) -> str:
    """Convolution and ReLU, named conv<n> and relu<n>."""
    fill = {"weight_filler": gaussian(0.01), "bias_filler": constant(bias)}
    net.learned(name, "Convolution", bottom, "convolution_param", window, WEIGHT_AND_BIAS, fill)
    return net.relu(name.replace("conv", "relu"), name)


def inner_product(net: Net, name: str, bottom: str, outputs: int, std: float, bias: float) -> str:
    """Fully connected."""
    fill = {"weight_filler": gaussian(std), "bias_filler": constant(bias)}
    values = {"num_output": outputs}
    return net.learned(name, "InnerProduct", bottom, "inner_product_param", values, WEIGHT_AND_BIAS, fill)


def normalize(net: Net, name: str, bottom: str) -> str:
    """Local response normalization over five channels."""
    return net.layer(name, "LRN", bottom, name, lrn_param={"local_size": 5, "alpha": 1e-4, "beta": 0.75})


def two_stages(net: Net, data: str, bias: float, norm_first: bool) -> str:
    """conv1 and conv2, each with a normalization and a pooling in one order or the other."""
    top = data
    for number in ("1", "2"):
        top = convolution(net, f"conv{number}", top, CONVOLUTIONS[f"conv{number}"], 0 if number == "1" else bias)
        if norm_first:
            top = normalize(net, f"norm{number}", top)
        top = net.pool(f"pool{number}", top, MAX, 3, 2)
        if not norm_first:
            top = normalize(net, f"norm{number}", top)
    return top


def alexnet(title: str, name: str, train: bool, bias: float, norm_first: bool) -> Net:
    """AlexNet (normalization first) or CaffeNet (pooling first)."""
    net = Net(title, name, train)
    top = imagenet(net, 227, (256, 50)) if train else net.input(1, 3, 227, 227)
    net.comment("Two stages with normalization." + " Groups stem from AlexNet's two GPUs." * norm_first)
    top = two_stages(net, top, bias, norm_first)
    net.comment("Three convolutions of the same 13x13 places.")
    for number, initial in (("3", 0.0), ("4", bias), ("5", bias)):
        top = convolution(net, f"conv{number}", top, CONVOLUTIONS[f"conv{number}"], initial)
    top = net.pool("pool5", top, MAX, 3, 2)
    net.comment("The classifier, which has 96% of the parameters.")
    for number in ("6", "7"):
        top = inner_product(net, f"fc{number}", top, 4096, 0.005, bias)
        top = net.dropout(f"drop{number}", net.relu(f"relu{number}", top), 0.5)
    ending(net, inner_product(net, "fc8", top, 1000, 0.01, 0))
    return net


def alexnet_gap(title: str, train: bool) -> Net:
    """AlexNet-GAP: two more convolutions, the mean of each plane, one inner product."""
    net = Net(title, "AlexNet-GAP", train)
    if train:
        transform = {"crop_size": 227, "mean_value": BLUE_GREEN_RED}
        top = databases(net, "data/places205/train_lmdb", "data/places205/val_lmdb", (128, 50), transform)
    else:
        top = net.input(10, 3, 227, 227)
    net.comment("As CaffeNet up to conv4.")
    top = two_stages(net, top, 1, norm_first=False)
    top = convolution(net, "conv3", top, CONVOLUTIONS["conv3"], 0)
    top = convolution(net, "conv4", top, CONVOLUTIONS["conv4"], 1)
    net.comment("conv5 is wider, and pool5 moves by 1: the maps stay at 11x11.")
    top = convolution(net, "conv5", top, {**CONVOLUTIONS["conv5"], "num_output": 384}, 1)
    top = net.pool("pool5", top, MAX, 3, 1)
    for name in ("conv6", "conv7"):
        top = convolution(net, name, top, {"num_output": 512, "kernel_size": 3, "pad": 1, "group": 2}, 1)
    net.comment("Class k's activation map is the sum of conv7's planes weighted by row k of fc9.")
    top = net.pool("pool8_global", top, AVE, 11, 11)
    ending(net, inner_product(net, "fc9", top, 205, 0.01, 0))
    return net


STEPS = {
    "test_iter": 1000,
    "test_interval": 1000,
    "base_lr": 0.01,
    "lr_policy": "step",
    "gamma": 0.1,
    "stepsize": 100000,
    "display": 20,
    "max_iter": 450000,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "snapshot": 10000,
}


def files() -> dict[str, str]:
    """Content by path under models/."""
    alex = "AlexNet (Krizhevsky, Sutskever, Hinton, 2012): normalization before pooling, 227x227 images."
    caffe = "CaffeNet: AlexNet with pooling before normalization, which is cheaper; 227x227 images."
    gap = "AlexNet-GAP (Zhou, Khosla, Lapedriza, Oliva, Torralba, 2016): class activation maps of 205 kinds of places."
    rate = "90 epochs of 1.28 million images, 256 at a time; the rate falls to a tenth every 20."
    found: dict[str, str] = {}
    for train, file in ((False, "deploy"), (True, "train_val")):
        found[f"alexnet/{file}.prototxt"] = str(alexnet(alex, "AlexNet", train, 0.1, norm_first=True))
        found[f"caffenet/{file}.prototxt"] = str(alexnet(caffe, "CaffeNet", train, 1, norm_first=False))
        found[f"alexnet_gap/{file}.prototxt"] = str(alexnet_gap(gap, train))
    for model in ("alexnet", "caffenet"):
        found[f"{model}/solver.prototxt"] = solver(rate, model, **STEPS)
    fine = "Starts best from trained weights of CaffeNet: netc train --weights. The rate falls to a tenth every 40,000."
    gap_steps = {**STEPS, "test_iter": 410, "stepsize": 40000, "max_iter": 160000, "iter_size": 2}
    found["alexnet_gap/solver.prototxt"] = solver(fine, "alexnet_gap", **gap_steps)
    return found
