"""SSD300 on VGG-16 in handwritten PyTorch, the reference for benchmarks of models/ssd."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

try:
    from torchvision.ops import nms  # type: ignore[import-not-found, unused-ignore]
except (ImportError, RuntimeError):  # none, or one for another version of torch
    from netc.functions.suppression import nms

CLASSES = 21
MAPS = (38, 19, 10, 5, 3, 1)
SIZES = (30, 60, 111, 162, 213, 264, 315)
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
STEPS = (8, 16, 32, 64, 100, 300)
VARIANCES = torch.tensor([0.1, 0.1, 0.2, 0.2])


def vgg() -> tuple[nn.Sequential, nn.Sequential]:
    """The layers up to conv4_3, and those up to fc7."""
    layers: list[nn.Module] = []
    channels = 3
    for outputs in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if outputs:
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            channels = outputs
        else:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    layers += [nn.MaxPool2d(3, 1, 1), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:23]), nn.Sequential(*layers[23:])


def further(channels: int, narrow: int, wide: int, stride: int) -> nn.Sequential:
    last = nn.Conv2d(narrow, wide, 3, stride, padding=1 if stride == 2 else 0)
    return nn.Sequential(nn.Conv2d(channels, narrow, 1), nn.ReLU(inplace=True), last, nn.ReLU(inplace=True))


class Norm(nn.Module):
    """Division by the norm of each place's channels."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((512,), 20.0))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().sum(1, keepdim=True) + 1e-10).sqrt() * self.scale[:, None, None]


class SSD300(nn.Module):
    """Its parameters are in the order of the blobs in the prototxt."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = vgg()
        stages = ((1024, 256, 512, 2), (512, 128, 256, 2), (256, 128, 256, 1), (256, 128, 256, 1))
        self.stages = nn.ModuleList(further(*stage) for stage in stages)
        self.norm = Norm()
        outputs = (512, 1024, 512, 256, 256, 256)
        counts = [2 + 2 * len(ratios) for ratios in RATIOS]
        pairs = [nn.Conv2d(width, n * size, 3, padding=1) for width, n in zip(outputs, counts) for size in (4, CLASSES)]
        self.heads = nn.ModuleList(pairs)
        self.priors = torch.stack((prior_boxes().flatten(), VARIANCES.repeat(8732)))[None]

    def forward(self, x: Tensor) -> Tensor:
        low = self.low(x)
        maps = [self.norm(low)]
        maps.append(self.high(low))
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        codes = torch.cat([head(m).permute(0, 2, 3, 1).flatten(1) for head, m in zip(self.heads[::2], maps)], 1)
        scores = torch.cat([head(m).permute(0, 2, 3, 1).flatten(1) for head, m in zip(self.heads[1::2], maps)], 1)
        return detect(codes, scores.reshape(len(x), -1, CLASSES).softmax(2), self.priors)


def prior_boxes() -> Tensor:
    """The boxes (8732, 4) of all feature maps."""
    found = []
    for cells, smallest, largest, ratios, step in zip(MAPS, SIZES, SIZES[1:], RATIOS, STEPS):
        sizes = [(float(smallest),) * 2, (math.sqrt(smallest * largest),) * 2]
        for ratio in ratios:
            wide, narrow = smallest * math.sqrt(ratio), smallest / math.sqrt(ratio)
            sizes += [(wide, narrow), (narrow, wide)]
        y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        centers = (torch.stack((x, y), 2) + 0.5) * step
        halves = torch.tensor(sizes) / 2
        boxes = torch.cat((centers[:, :, None] - halves, centers[:, :, None] + halves), 3)
        found.append(boxes.reshape(-1, 4) / 300)
    return torch.cat(found)


def detect(codes: Tensor, scores: Tensor, priors: Tensor) -> Tensor:
    """Rows [image, label, score, x1, y1, x2, y2] of codes (n, 4 p) and scores (n, p, c)."""
    boxes, variances = priors[0].reshape(2, -1, 4)
    codes = codes.reshape(len(codes), -1, 4) * variances
    sizes, centers = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    middle, half = codes[..., :2] * sizes + centers, codes[..., 2:].exp() * sizes / 2
    found = torch.cat((middle - half, middle + half), 2)
    return torch.cat([rows(image, *parts) for image, parts in enumerate(zip(found, scores))])


def rows(image: int, boxes: Tensor, scores: Tensor) -> Tensor:
    """The rows of an image."""
    found = []
    for label in range(1, CLASSES):
        score = scores[:, label]
        places = (score > 0.01).nonzero()[:, 0]
        best, order = score[places].topk(min(400, len(places)))
        own = boxes[places[order]]
        kept = nms(own, best, 0.45)
        head = torch.tensor([float(image), float(label)]).expand(len(kept), 2)
        found.append(torch.cat((head, best[kept, None], own[kept]), 1))
    every = torch.cat(found)
    if len(every) > 200:
        every = every[every[:, 2].topk(200)[1].sort()[0]]
    return every
