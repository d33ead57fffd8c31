"""SqueezeNet 1.1 as a net of Caffe2 (models/squeezenet/predict_net.pbtxt), and in handwritten PyTorch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import netc
from benchmarks.report import Result
from benchmarks.timing import alternate
from netc.conversion.convert import convert

MODEL = Path(__file__).parents[2] / "models" / "squeezenet" / "deploy.prototxt"
SIZE = 227
FIRES = ((64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128), (256, 48, 192), (384, 48, 192), (384, 64, 256),
         (512, 64, 256))  # fmt: skip
POOLED = (1, 3)
"""The fire modules, counted from 0, with a pooling after them."""


class Fire(nn.Module):
    """A 1x1 convolution that feeds a 1x1 and a 3x3 one."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one = nn.Conv2d(squeeze, expand, 1)
        self.three = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Both results, one after the other."""
        x = self.relu(self.squeeze(x))
        return torch.cat((self.relu(self.one(x)), self.relu(self.three(x))), 1)


class ByHand(nn.Module):
    """The same net; parameters in the order of the prototxt."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        ]
        for index, fire in enumerate(FIRES):
            layers.append(Fire(*fire))
            layers += [nn.MaxPool2d(3, 2, ceil_mode=True)] if index in POOLED else []
        last = (nn.Dropout(0.5), nn.Conv2d(512, 1000, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Softmax(1))
        self.layers = nn.Sequential(*layers, *last)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (n, 1000, 1, 1)."""
        result: Tensor = self.layers(x)
        return result


def forward(device: str, rounds: int) -> Result:
    """Inference of one image in eager mode, by the predict net that `netc convert` writes."""
    from benchmarks.nets import waiter

    with tempfile.TemporaryDirectory() as folder:
        files = convert(MODEL, to="caffe2", output=Path(folder) / "predict_net.pb").files
        net = netc.load(files[0], weights=files[1]).to(device)
    by_hand = ByHand().eval().to(device)
    with torch.no_grad():
        for mine, other in zip(net.parameters(), by_hand.parameters(), strict=True):
            other.copy_(mine)
    x = torch.rand(1, 3, SIZE, SIZE, device=device)

    def ours() -> Tensor:
        with torch.no_grad():
            return net(x)["prob"]

    def theirs() -> Tensor:
        with torch.no_grad():
            return by_hand(x)

    torch.testing.assert_close(ours(), theirs(), rtol=1e-3, atol=1e-6)
    return Result("caffe2-squeezenet", alternate(ours, theirs, rounds, wait=waiter(device)), 1.03, notes={"batch": 1})
