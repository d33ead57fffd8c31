"""ResNet-50, 101 and 152 of He et al., the stride in the first 1x1 convolution."""

from __future__ import annotations

from model_zoo.prototxt import AVE, MAX, SUM, Net
from model_zoo.recipes import WEIGHT, WEIGHT_AND_BIAS, constant, ending, imagenet, solver

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Number of blocks in each of the four stages (table 1 of the paper)."""
FIXED = [{"lr_mult": 0}] * 3
"""No solver changes the three blobs of a BatchNorm."""


def convolution(net: Net, name: str, own: str, bottom: str, outputs: int, kernel: int, stride: int = 1) -> str:
    """Convolution, BatchNorm and Scale; the latter two in place, named after what follows `res` or `conv1`."""
    window = {"num_output": outputs, "kernel_size": kernel, "stride": stride, "bias_term": False}
    window.update({"pad": kernel // 2} if kernel > 1 else {})
    net.learned(name, "Convolution", bottom, "convolution_param", window, WEIGHT, {"weight_filler": {"type": "msra"}})
    net.layer(f"bn{own}", "BatchNorm", name, name, param=FIXED if net.train else None)
    param = [{"lr_mult": 1, "decay_mult": 0}] * 2 if net.train else None
    net.layer(f"scale{own}", "Scale", name, name, param=param, scale_param={"bias_term": True})
    return name


def block(net: Net, key: str, bottom: str, middle: int, stride: int, first: bool) -> str:
    """1x1, 3x3, 1x1, next to a shortcut, which has a projection in the first block of a stage."""
    wide, branch = middle * 4, f"{key}_branch2"
    shortcut = bottom
    if first:
        shortcut = convolution(net, f"res{key}_branch1", f"{key}_branch1", bottom, wide, 1, stride)
    top = convolution(net, f"res{branch}a", f"{branch}a", bottom, middle, 1, stride)
    top = net.relu(f"res{branch}a_relu", top)
    top = net.relu(f"res{branch}b_relu", convolution(net, f"res{branch}b", f"{branch}b", top, middle, 3))
    top = convolution(net, f"res{branch}c", f"{branch}c", top, wide, 1)
    top = net.layer(f"res{key}", "Eltwise", [shortcut, top], f"res{key}", eltwise_param={"operation": SUM})
    return net.relu(f"res{key}_relu", top)


def block_names(depth: int) -> list[list[str]]:
    """Names of the blocks of each stage, as in the authors' files.

    >>> block_names(50)[1], block_names(101)[1]
    (['3a', '3b', '3c', '3d'], ['3a', '3b1', '3b2', '3b3'])
    """
    numbered = (3, 4) if depth > 50 else ()
    return [
        [f"{stage}a", *(f"{stage}b{i}" for i in range(1, count))]
        if stage in numbered
        else [f"{stage}{letter}" for letter in "abcdef"[:count]]
        for stage, count in enumerate(BLOCKS[depth], 2)
    ]


def resnet(depth: int, train: bool) -> Net:
    """One of the three nets."""
    title = f"ResNet-{depth} (He, Zhang, Ren, Sun, 2015): 224x224 images, the stride in the first 1x1 convolution."
    net = Net(title, f"ResNet-{depth}", train)
    top = imagenet(net, 224, (32, 50)) if train else net.input(1, 3, 224, 224)
    net.comment("BatchNorm normalizes, Scale has gamma and beta: together they are the paper's batch normalization.")
    top = net.relu("conv1_relu", convolution(net, "conv1", "_conv1", top, 64, 7, 2))
    top = net.pool("pool1", top, MAX, 3, 2)
    for stage, names in enumerate(block_names(depth), 2):
        places = 224 >> stage
        net.comment(f"Stage {stage}: {places}x{places} places, {64 * 4 << stage - 2} channels")
        for number, key in enumerate(names):
            stride = 2 if number == 0 and stage > 2 else 1
            top = block(net, key, top, 64 << stage - 2, stride, number == 0)
    net.comment("The classifier")
    top = net.pool("pool5", top, AVE, 7)
    fill = {"weight_filler": {"type": "msra"}, "bias_filler": constant(0)}
    values = {"num_output": 1000}
    net.learned("fc1000", "InnerProduct", top, "inner_product_param", values, WEIGHT_AND_BIAS, fill)
    ending(net, "fc1000")
    return net


RECIPE = """120 epochs as in the paper: 256 images per iteration (8 batches of 32, each with its own moments, as on
the authors' 8 GPUs), 600,000 iterations; the learning rate falls to a tenth where theirs did."""


def files() -> dict[str, str]:
    """Content by path under models/."""
    found: dict[str, str] = {}
    for depth in BLOCKS:
        model = f"resnet{depth}"
        found[f"{model}/deploy.prototxt"] = str(resnet(depth, False))
        found[f"{model}/train_val.prototxt"] = str(resnet(depth, True))
        found[f"{model}/solver.prototxt"] = solver(
            RECIPE,
            model,
            test_iter=1000,
            test_interval=5000,
            test_initialization=False,
            base_lr=0.1,
            lr_policy="multistep",
            gamma=0.1,
            stepvalue=[150000, 300000, 450000],
            display=20,
            average_loss=20,
            max_iter=600000,
            iter_size=8,
            momentum=0.9,
            weight_decay=0.0001,
            snapshot=10000,
        )
    return found
