"""GoogLeNet of Szegedy et al."""

from __future__ import annotations

from model_zoo.prototxt import AVE, MAX, Net
from model_zoo.recipes import WEIGHT_AND_BIAS, accuracy, constant, imagenet, solver

MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
"""Channels: of 1x1, of 3x3 with the preceding reduction, of 5x5 likewise, of the projection (table 1 of the paper)."""


def convolution(net: Net, name: str, bottom: str, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> str:
    """Convolution and ReLU: `a/b` and `a/relu_b`."""
    window = {"num_output": outputs, "kernel_size": kernel}
    window.update({"stride": stride} if stride > 1 else {})
    window.update({"pad": pad} if pad else {})
    fill = {"weight_filler": {"type": "xavier"}, "bias_filler": constant(0.2)}
    net.learned(name, "Convolution", bottom, "convolution_param", window, WEIGHT_AND_BIAS, fill)
    place, _, own = name.partition("/")
    return net.relu(f"{place}/relu_{own.removesuffix('_s2')}", name)


def inner_product(net: Net, name: str, bottom: str, outputs: int, bias: float) -> str:
    """Fully connected."""
    fill = {"weight_filler": {"type": "xavier"}, "bias_filler": constant(bias)}
    values = {"num_output": outputs}
    return net.learned(name, "InnerProduct", bottom, "inner_product_param", values, WEIGHT_AND_BIAS, fill)


def normalize(net: Net, name: str, bottom: str) -> str:
    """Local response normalization over five channels."""
    return net.layer(name, "LRN", bottom, name, lrn_param={"local_size": 5, "alpha": 1e-4, "beta": 0.75})


def inception(net: Net, key: str, bottom: str) -> str:
    """Four parallel branches."""
    place = f"inception_{key}"
    ones, (three_in, threes), (five_in, fives), projected = MODULES[key]
    branches = [convolution(net, f"{place}/1x1", bottom, ones, 1)]
    reduced = convolution(net, f"{place}/3x3_reduce", bottom, three_in, 1)
    branches.append(convolution(net, f"{place}/3x3", reduced, threes, 3, pad=1))
    reduced = convolution(net, f"{place}/5x5_reduce", bottom, five_in, 1)
    branches.append(convolution(net, f"{place}/5x5", reduced, fives, 5, pad=2))
    pooled = net.pool(f"{place}/pool", bottom, MAX, 3, 1, 1)
    branches.append(convolution(net, f"{place}/pool_proj", pooled, projected, 1))
    return net.layer(f"{place}/output", "Concat", branches, f"{place}/output")


def losses(net: Net, place: str, scores: str, weight: float) -> None:
    """The loss of one head, and its accuracies in test."""
    top = f"{place}/{place}"
    net.layer(f"{place}/loss", "SoftmaxWithLoss", [scores, "label"], top, loss_weight=weight)
    accuracy(net, f"{place}/top-1", scores, 1)
    accuracy(net, f"{place}/top-5", scores, 5)


def auxiliary(net: Net, place: str, bottom: str, after: str) -> None:
    """An auxiliary head, which adds a gradient in the middle of the net."""
    net.comment(f"An auxiliary head after {after}, with a weight of 0.3; the deployed net has none.")
    top = net.pool(f"{place}/ave_pool", bottom, AVE, 5, 3)
    top = convolution(net, f"{place}/conv", top, 128, 1)
    top = net.relu(f"{place}/relu_fc", inner_product(net, f"{place}/fc", top, 1024, 0.2))
    top = net.dropout(f"{place}/drop_fc", top, 0.7)
    losses(net, place, inner_product(net, f"{place}/classifier", top, 1000, 0), 0.3)


def googlenet(train: bool) -> Net:
    """The net; with its auxiliary heads for training."""
    net = Net("GoogLeNet (Szegedy et al., 2014): 22 layers with weights, 224x224 images.", "GoogLeNet", train)
    top = imagenet(net, 224, (32, 50)) if train else net.input(1, 3, 224, 224)
    net.comment("The stem")
    top = net.pool("pool1/3x3_s2", convolution(net, "conv1/7x7_s2", top, 64, 7, 2, 3), MAX, 3, 2)
    top = convolution(net, "conv2/3x3_reduce", normalize(net, "pool1/norm1", top), 64, 1)
    top = convolution(net, "conv2/3x3", top, 192, 3, pad=1)
    top = net.pool("pool2/3x3_s2", normalize(net, "conv2/norm2", top), MAX, 3, 2)
    for key in MODULES:
        net.comment(f"Inception module {key}")
        top = inception(net, key, top)
        if train and key in ("4a", "4d"):
            auxiliary(net, "loss1" if key == "4a" else "loss2", top, key)
        if key in ("3b", "4e"):
            stage = int(key[0])
            top = net.pool(f"pool{stage}/3x3_s2", top, MAX, 3, 2)
    net.comment("The classifier")
    top = net.dropout("pool5/drop_7x7_s1", net.pool("pool5/7x7_s1", top, AVE, 7, 1), 0.4)
    scores = inner_product(net, "loss3/classifier", top, 1000, 0)
    if train:
        losses(net, "loss3", scores, 1)
    else:
        net.layer("prob", "Softmax", scores, "prob")
    return net


RECIPE = """60 epochs of 1.28 million images in batches of 32, with a learning rate that falls as the square root of the
remaining iterations: faster than the paper's steps of 4% every 8 epochs."""


def files() -> dict[str, str]:
    """Content by path under models/."""
    return {
        "googlenet/deploy.prototxt": str(googlenet(False)),
        "googlenet/train_val.prototxt": str(googlenet(True)),
        "googlenet/solver.prototxt": solver(
            RECIPE,
            "googlenet",
            test_iter=1000,
            test_interval=4000,
            test_initialization=False,
            base_lr=0.01,
            lr_policy="poly",
            power=0.5,
            display=40,
            average_loss=40,
            max_iter=2400000,
            momentum=0.9,
            weight_decay=0.0002,
            snapshot=40000,
        ),
    }
