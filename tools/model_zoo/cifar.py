"""The two CIFAR-10 nets that come with Caffe, after Alex Krizhevsky's cuda-convnet."""

from __future__ import annotations

from typing import Any

from model_zoo.prototxt import AVE, MAX, Net, Word
from model_zoo.recipes import constant, databases, ending, gaussian, solver

DOUBLE = [{"lr_mult": 1}, {"lr_mult": 2}]


def start(title: str, name: str, train: bool) -> tuple[Net, str]:
    """The net, and its data."""
    net = Net(title, name, train)
    if not train:
        return net, net.input(1, 3, 32, 32)
    sources = ("data/cifar10/cifar10_train_lmdb", "data/cifar10/cifar10_test_lmdb")
    return net, databases(net, *sources, (100, 100), {"mean_file": "data/cifar10/mean.binaryproto"}, "cifar")


def convolution(net: Net, number: int, bottom: str, outputs: int, std: float, param: object = DOUBLE) -> str:
    """A 5x5 convolution."""
    window = {"num_output": outputs, "kernel_size": 5, "pad": 2}
    fill = {"weight_filler": gaussian(std), "bias_filler": constant(0)}
    return net.learned(f"conv{number}", "Convolution", bottom, "convolution_param", window, param, fill)


def inner_product(net: Net, number: int, bottom: str, outputs: int, std: float, param: object = DOUBLE) -> str:
    """Fully connected."""
    fill = {"weight_filler": gaussian(std), "bias_filler": constant(0)}
    values = {"num_output": outputs}
    return net.learned(f"ip{number}", "InnerProduct", bottom, "inner_product_param", values, param, fill)


def normalize(net: Net, number: int, bottom: str) -> str:
    """Local response normalization over 3x3 windows of each channel."""
    region = {"local_size": 3, "alpha": 5e-5, "beta": 0.75, "norm_region": Word("WITHIN_CHANNEL")}
    return net.layer(f"norm{number}", "LRN", bottom, f"norm{number}", lrn_param=region)


def quick(train: bool) -> Net:
    """Three convolutions, two inner products."""
    net, top = start("The quick CIFAR-10 net: 32x32 color images, ten classes.", "CIFAR10_quick", train)
    net.comment("The first stage pools by MAX before its ReLU, the others by AVE after it.")
    top = net.relu("relu1", net.pool("pool1", convolution(net, 1, top, 32, 0.0001), MAX, 3, 2))
    for number, outputs in ((2, 32), (3, 64)):
        top = net.relu(f"relu{number}", convolution(net, number, top, outputs, 0.01))
        top = net.pool(f"pool{number}", top, AVE, 3, 2)
    ending(net, inner_product(net, 2, inner_product(net, 1, top, 64, 0.1), 10, 0.1), top5=False)
    return net


def full(train: bool) -> Net:
    """Three convolutions, two normalizations, one inner product."""
    net, top = start("The full CIFAR-10 net: 32x32 color images, ten classes.", "CIFAR10_full", train)
    net.comment("Normalizations cover 3x3 positions of one channel.")
    top = net.relu("relu1", net.pool("pool1", convolution(net, 1, top, 32, 0.0001), MAX, 3, 2))
    top = net.relu("relu2", convolution(net, 2, normalize(net, 1, top), 32, 0.01))
    top = normalize(net, 2, net.pool("pool2", top, AVE, 3, 2))
    top = net.relu("relu3", convolution(net, 3, top, 64, 0.01, None))
    top = net.pool("pool3", top, AVE, 3, 2)
    if train:
        net.comment("The classifier's weights decay 250 times as fast as the others.")
    param = [{"lr_mult": 1, "decay_mult": 250}, {"lr_mult": 2, "decay_mult": 0}]
    ending(net, inner_product(net, 1, top, 10, 0.01, param), top5=False)
    return net


def cifar_solver(model: str, comment: str, interval: int, drops: list[int], **settings: Any) -> str:
    """One run instead of the two or three consecutive solvers of Caffe's scripts."""
    return solver(
        comment,
        model,
        test_iter=100,
        test_interval=interval,
        base_lr=0.001,
        lr_policy="multistep",
        gamma=0.1,
        stepvalue=drops,
        momentum=0.9,
        weight_decay=0.004,
        **settings,
    )


def files() -> dict[str, str]:
    """Content by path under models/."""
    found: dict[str, str] = {}
    for model, make in (("cifar10_quick", quick), ("cifar10_full", full)):
        found[f"{model}/deploy.prototxt"] = str(make(False))
        found[f"{model}/train_val.prototxt"] = str(make(True))
    words = "epochs of 50,000 images, 100 at a time; the rate falls to a tenth at"
    found["cifar10_quick/solver.prototxt"] = cifar_solver(
        "cifar10_quick", f"10 {words} 8.", 500, [4000], display=100, max_iter=5000, snapshot=5000
    )
    found["cifar10_full/solver.prototxt"] = cifar_solver(
        "cifar10_full", f"140 {words} 120 and 130.", 1000, [60000, 65000], display=200, max_iter=70000, snapshot=10000
    )
    return found
