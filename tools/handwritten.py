"""Handwritten PyTorch nets, the reference for benchmarks of netc.

Each is built so that its parameters come in the order of the prototxt's blobs; tools/bench.py copies netc's weights in
by that order and compares outputs and loss before it times anything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LeNet(nn.Module):
    """models/lenet: 28x28 gray, ten classes."""

    size = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(800, 500),
            nn.ReLU(inplace=True),
            nn.Linear(500, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def lrn() -> nn.Module:
    return nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)


class AlexNet(nn.Module):
    """AlexNet with grouped convolutions, normalization before pooling."""

    size = (3, 227, 227)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 96, 11, 4), relu(), lrn(), pool()),
            *(nn.Conv2d(96, 256, 5, padding=2, groups=2), relu(), lrn(), pool()),
            *(nn.Conv2d(256, 384, 3, padding=1), relu()),
            *(nn.Conv2d(384, 384, 3, padding=1, groups=2), relu()),
            *(nn.Conv2d(384, 256, 3, padding=1, groups=2), relu(), pool(), nn.Flatten()),
            *(nn.Linear(9216, 4096), relu(), nn.Dropout()),
            *(nn.Linear(4096, 4096), relu(), nn.Dropout()),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Inception(nn.Module):
    def __init__(self, c: int, a: int, b1: int, b2: int, d1: int, d2: int, p: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(c, a, 1), relu()),
                nn.Sequential(nn.Conv2d(c, b1, 1), relu(), nn.Conv2d(b1, b2, 3, padding=1), relu()),
                nn.Sequential(nn.Conv2d(c, d1, 1), relu(), nn.Conv2d(d1, d2, 5, padding=2), relu()),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(c, p, 1), relu()),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class GoogLeNet(nn.Module):
    """GoogLeNet without its auxiliary classifiers."""

    size = (3, 224, 224)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 64, 7, 2, 3), relu(), pool(), lrn(), nn.Conv2d(64, 64, 1), relu()),
            *(nn.Conv2d(64, 192, 3, padding=1), relu(), lrn(), pool()),
            *(Inception(192, 64, 96, 128, 16, 32, 32), Inception(256, 128, 128, 192, 32, 96, 64), pool()),
            *(Inception(480, 192, 96, 208, 16, 48, 64), Inception(512, 160, 112, 224, 24, 64, 64)),
            *(Inception(512, 128, 128, 256, 24, 64, 64), Inception(512, 112, 144, 288, 32, 64, 64)),
            *(Inception(528, 256, 160, 320, 32, 128, 128), pool()),
            *(Inception(832, 256, 160, 320, 32, 128, 128), Inception(832, 384, 192, 384, 48, 128, 128)),
            *(nn.AvgPool2d(7, 1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, 1000)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Bottleneck(nn.Module):
    def __init__(self, c: int, middle: int, stride: int) -> None:
        super().__init__()
        out = middle * 4
        self.shortcut: nn.Module = nn.Identity()
        if c != out or stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.body = nn.Sequential(
            *(nn.Conv2d(c, middle, 1, stride, bias=False), nn.BatchNorm2d(middle), relu()),
            *(nn.Conv2d(middle, middle, 3, 1, 1, bias=False), nn.BatchNorm2d(middle), relu()),
            *(nn.Conv2d(middle, out, 1, bias=False), nn.BatchNorm2d(out)),
        )
        self.relu = relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shortcut(x) + self.body(x))


class ResNet50(nn.Module):
    """ResNet-50 as first published: the stride in the first 1x1 convolution."""

    size = (3, 224, 224)

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        c = 64
        for middle, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(count):
                blocks.append(Bottleneck(c, middle, stride if i == 0 else 1))
                c = middle * 4
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), relu(), pool()),
            *blocks,
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
