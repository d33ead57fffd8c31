"""The nets A to E of Simonyan and Zisserman."""

from __future__ import annotations

from model_zoo.prototxt import MAX, Net
from model_zoo.recipes import WEIGHT_AND_BIAS, constant, ending, imagenet, solver

XAVIER = {"weight_filler": {"type": "xavier"}, "bias_filler": constant(0)}

KERNELS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
"""Kernels of the convolutions of each stage (table 1 of the paper)."""
CHANNELS = (64, 128, 256, 512, 512)


def vgg(letter: str, train: bool) -> Net:
    """One of the five nets."""
    depth = sum(map(len, KERNELS[letter])) + 3
    title = f"VGG net {letter} of Simonyan and Zisserman (2014): {depth} layers with weights, 224x224 images."
    net = Net(title, f"VGG_{letter}", train)
    top = imagenet(net, 224, (64, 50)) if train else net.input(1, 3, 224, 224)
    for stage, (kernels, channels) in enumerate(zip(KERNELS[letter], CHANNELS), 1):
        net.comment(f"{224 >> stage - 1}x{224 >> stage - 1} places, {channels} channels")
        for number, kernel in enumerate(kernels, 1):
            name = f"conv{stage}_{number}"
            window = {"num_output": channels, "kernel_size": kernel, **({"pad": 1} if kernel == 3 else {})}
            net.learned(name, "Convolution", top, "convolution_param", window, WEIGHT_AND_BIAS, XAVIER)
            top = net.relu(f"relu{stage}_{number}", name)
        top = net.pool(f"pool{stage}", top, MAX, 2, 2)
    net.comment("The classifier: fc6 alone has 102.8 million parameters.")
    for layer in (6, 7):
        top = inner_product(net, f"fc{layer}", top, 4096)
        top = net.dropout(f"drop{layer}", net.relu(f"relu{layer}", top), 0.5)
    ending(net, inner_product(net, "fc8", top, 1000))
    return net


def inner_product(net: Net, name: str, bottom: str, outputs: int) -> str:
    """Fully connected."""
    values = {"num_output": outputs}
    return net.learned(name, "InnerProduct", bottom, "inner_product_param", values, WEIGHT_AND_BIAS, XAVIER)


RECIPE = """74 epochs, as in the paper: 256 images per iteration (4 batches of 64), 370,000 iterations, three drops
of the learning rate. The paper dropped it when accuracy stopped improving, and initialized from net A."""


def files() -> dict[str, str]:
    """Content by path under models/."""
    found: dict[str, str] = {}
    for letter in KERNELS:
        model = f"vgg_{letter.lower()}"
        found[f"{model}/deploy.prototxt"] = str(vgg(letter, False))
        found[f"{model}/train_val.prototxt"] = str(vgg(letter, True))
        found[f"{model}/solver.prototxt"] = solver(
            RECIPE,
            model,
            test_iter=1000,
            test_interval=5000,
            base_lr=0.01,
            lr_policy="step",
            gamma=0.1,
            stepsize=100000,
            display=20,
            max_iter=370000,
            iter_size=4,
            momentum=0.9,
            weight_decay=0.0005,
            snapshot=10000,
        )
    return found
