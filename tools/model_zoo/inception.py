"""Inception-v3 of Szegedy et al., under the layer names of the public Caffe weights."""

from __future__ import annotations

from typing import Any

from model_zoo.prototxt import AVE, MAX, Net
from model_zoo.recipes import WEIGHT, WEIGHT_AND_BIAS, accuracy, constant, databases, solver

FIXED = [{"lr_mult": 0}] * 3
XAVIER = {"weight_filler": {"type": "xavier"}}
Kernel = int | tuple[int, int]


def window(kernel: Kernel, stride: int, pad: bool) -> dict[str, Any]:
    """The window's fields; a pair is height and width, `pad` keeps the plane's extents."""
    if isinstance(kernel, int):
        fields: dict[str, Any] = {"kernel_size": kernel, "stride": stride}
        return {**fields, **({"pad": kernel // 2} if pad and kernel > 1 else {})}
    h, w = kernel
    return {"kernel_h": h, "kernel_w": w, "pad_h": h // 2, "pad_w": w // 2}


def convolution(
    net: Net, name: str, bottom: str, outputs: int, kernel: Kernel, stride: int = 1, pad: bool = True
) -> str:
    """Convolution, BatchNorm, Scale and ReLU, all but the first in place."""
    values = {"num_output": outputs, **window(kernel, stride, pad), "bias_term": False}
    net.learned(name, "Convolution", bottom, "convolution_param", values, WEIGHT, XAVIER)
    fixed, free = (FIXED, [{"lr_mult": 1, "decay_mult": 0}] * 2) if net.train else (None, None)
    net.layer(f"{name}_bn", "BatchNorm", name, name, param=fixed, batch_norm_param={"eps": 0.001})
    net.layer(f"{name}_scale", "Scale", name, name, param=free, scale_param={"bias_term": True})
    return net.relu(f"{name}_relu", name)


def chain(net: Net, place: str, top: str, *steps: tuple[str, int, Kernel]) -> str:
    """Consecutive convolutions: own name, channels, kernel."""
    for own, outputs, kernel in steps:
        top = convolution(net, f"{place}_{own}", top, outputs, kernel)
    return top


def stem(net: Net, top: str) -> str:
    """299x299x3 to 35x35x192."""
    top = convolution(net, "conv1_3x3_s2", top, 32, 3, 2, pad=False)
    top = convolution(net, "conv2_3x3_s1", top, 32, 3, pad=False)
    top = convolution(net, "conv3_3x3_s1", top, 64, 3)
    top = net.pool("pool1_3x3_s2", top, MAX, 3, 2)
    top = convolution(net, "conv4_3x3_reduce", top, 80, 1)
    top = convolution(net, "conv4_3x3", top, 192, 3, pad=False)
    return net.pool("pool2_3x3_s2", top, MAX, 3, 2)


def module_a(net: Net, place: str, bottom: str, projected: int) -> str:
    """35x35: two 3x3 convolutions replace a 5x5 one in one branch (figure 5 of the paper)."""
    ones = chain(net, place, bottom, ("1x1", 64, 1))
    fives = chain(net, place, bottom, ("5x5_reduce", 48, 1), ("5x5", 64, 5))
    threes = chain(net, place, bottom, ("3x3_reduce", 64, 1), ("3x3_1", 96, 3), ("3x3_2", 96, 3))
    pooled = net.pool(f"{place}_pool", bottom, AVE, 3, 1, 1)
    pooled = chain(net, place, pooled, ("pool_proj", projected, 1))
    return net.layer(f"{place}_output", "Concat", [ones, fives, threes, pooled], f"{place}_output")


def module_b(net: Net, place: str, bottom: str, middle: int) -> str:
    """17x17: 7x7 convolutions factorized into 1x7 and 7x1 (figure 6 of the paper)."""
    across, down = (1, 7), (7, 1)
    ones = chain(net, place, bottom, ("1x1_2", 192, 1))
    once = chain(net, place, bottom, ("1x7_reduce", middle, 1), ("1x7", middle, across), ("7x1", 192, down))
    twice = chain(
        *(net, place, bottom, ("7x1_reduce", middle, 1), ("7x1_2", middle, down), ("1x7_2", middle, across)),
        *(("7x1_3", middle, down), ("1x7_3", 192, across)),
    )
    pooled = net.pool(f"{place}_pool_ave", bottom, AVE, 3, 1, 1)
    pooled = chain(net, place, pooled, ("1x1", 192, 1))
    return net.layer(f"{place}_concat", "Concat", [ones, once, twice, pooled], f"{place}_concat")


def module_c(net: Net, place: str, bottom: str, last: bool) -> str:
    """8x8: branches that fan out to 1x3 and 3x1 (figure 7 of the paper); the last one pools by MAX."""
    ones = chain(net, place, bottom, ("1x1_2", 320, 1))
    short = chain(net, place, bottom, ("1x3_reduce", 384, 1))
    fan = [chain(net, place, short, ("1x3", 384, (1, 3))), chain(net, place, short, ("3x1", 384, (3, 1)))]
    long = chain(net, place, bottom, ("3x3_reduce", 448, 1), ("3x3", 384, 3))
    fan += [chain(net, place, long, ("1x3_2", 384, (1, 3))), chain(net, place, long, ("3x1_2", 384, (3, 1)))]
    pooled = net.pool(f"{place}_pool", bottom, MAX if last else AVE, 3, 1, 1)
    pooled = chain(net, place, pooled, ("1x1", 192, 1))
    return net.layer(f"{place}_concat", "Concat", [ones, *fan, pooled], f"{place}_concat")


def reduction_a(net: Net, bottom: str) -> str:
    """35x35x288 to 17x17x768."""
    direct = convolution(net, "reduction_a_3x3", bottom, 384, 3, 2, pad=False)
    top = chain(net, "reduction_a", bottom, ("3x3_2_reduce", 64, 1), ("3x3_2", 96, 3))
    top = convolution(net, "reduction_a_3x3_3", top, 96, 3, 2, pad=False)
    pooled = net.pool("reduction_a_pool", bottom, MAX, 3, 2)
    return net.layer("reduction_a_concat", "Concat", [direct, top, pooled], "reduction_a_concat")


def reduction_b(net: Net, bottom: str) -> str:
    """17x17x768 to 8x8x1280."""
    short = chain(net, "reduction_b", bottom, ("3x3_reduce", 192, 1))
    short = convolution(net, "reduction_b_3x3", short, 320, 3, 2, pad=False)
    long = chain(net, "reduction_b", bottom, ("1x7_reduce", 192, 1), ("1x7", 192, (1, 7)), ("7x1", 192, (7, 1)))
    long = convolution(net, "reduction_b_3x3_2", long, 192, 3, 2, pad=False)
    pooled = net.pool("reduction_b_pool", bottom, MAX, 3, 2)
    return net.layer("reduction_b_concat", "Concat", [short, long, pooled], "reduction_b_concat")


def classifier(net: Net, name: str, bottom: str) -> str:
    """1000 scores."""
    values = {"num_output": 1000}
    fill = {**XAVIER, "bias_filler": constant(0)}
    return net.learned(name, "InnerProduct", bottom, "inner_product_param", values, WEIGHT_AND_BIAS, fill)


def auxiliary(net: Net, bottom: str) -> None:
    """The head that regularizes training, after the 17x17 modules (figure 8 of the paper)."""
    net.comment("The auxiliary head, with a weight of 0.4; the deployed net has none.")
    top = convolution(net, "aux_1x1", net.pool("aux_pool", bottom, AVE, 5, 3), 128, 1)
    scores = classifier(net, "aux_classifier", convolution(net, "aux_5x5", top, 768, 5, pad=False))
    net.layer("aux_loss", "SoftmaxWithLoss", [scores, "label"], "aux_loss", loss_weight=0.4)


def body(net: Net, top: str) -> str:
    """From the image to 8x8x2048."""
    net.comment("The stem: 299x299x3 to 35x35x192")
    top = stem(net, top)
    for number, projected in ((1, 32), (2, 64), (3, 64)):
        net.comment(f"Module a{number}: 35x35x{224 + projected}")
        top = module_a(net, f"inception_a{number}", top, projected)
    net.comment("Reduction a: 17x17x768")
    top = reduction_a(net, top)
    for number, middle in ((1, 128), (2, 160), (3, 160), (4, 192)):
        net.comment(f"Module b{number}: 17x17x768")
        top = module_b(net, f"inception_b{number}", top, middle)
    if net.train:
        auxiliary(net, top)
    net.comment("Reduction b: 8x8x1280")
    top = reduction_b(net, top)
    for number in (1, 2):
        net.comment(f"Module c{number}: 8x8x2048")
        top = module_c(net, f"inception_c{number}", top, last=number == 2)
    return top


def inception_v3(train: bool) -> Net:
    """The net; with its auxiliary head for training."""
    net = Net("Inception-v3 (Szegedy et al., 2015): 299x299 images with values from -1 to 1.", "Inception-v3", train)
    if train:
        transform = {"crop_size": 299, "mean_value": 128, "scale": 0.0078125}
        sources = ("data/ilsvrc12/train_320_lmdb", "data/ilsvrc12/val_320_lmdb")
        top = databases(net, *sources, (32, 50), transform)
    else:
        top = net.input(1, 3, 299, 299)
    top = body(net, top)
    net.comment("The classifier")
    top = net.layer("pool_8x8_s1", "Pooling", top, "pool_8x8_s1", pooling_param={"pool": AVE, "global_pooling": True})
    scores = classifier(net, "classifier", net.dropout("pool_8x8_s1_drop", top, 0.2))
    if train:
        accuracy(net, "accuracy", scores, 1)
        accuracy(net, "accuracy_top5", scores, 5)
        net.layer("loss", "SoftmaxWithLoss", [scores, "label"], "loss")
    else:
        net.layer("prob", "Softmax", scores, "prob")
    return net


RECIPE = """100 epochs of 1.28 million images with the paper's RMSProp: a rate of 0.045 that falls by 6% every two
epochs. The paper used 50 parallel batches of 32, and label smoothing by 0.1. SoftmaxWithLoss has none; an InfogainLoss
whose matrix has 0.9 on the diagonal and 0.0001 added to each of its 1000 x 1000 elements computes that loss."""


def files() -> dict[str, str]:
    """Content by path under models/."""
    return {
        "inception_v3/deploy.prototxt": str(inception_v3(False)),
        "inception_v3/train_val.prototxt": str(inception_v3(True)),
        "inception_v3/solver.prototxt": solver(
            RECIPE,
            "inception_v3",
            type="RMSProp",
            rms_decay=0.9,
            delta=1,
            test_iter=1000,
            test_interval=10000,
            test_initialization=False,
            base_lr=0.045,
            lr_policy="step",
            gamma=0.94,
            stepsize=80073,
            clip_gradients=2,
            display=20,
            average_loss=20,
            max_iter=4003647,
            weight_decay=0.00004,
            snapshot=40000,
        ),
    }
