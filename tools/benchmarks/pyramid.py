"""A net like PSPNet, with BN and Interp, and the same net in handwritten PyTorch."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

import netc
from benchmarks.report import Result
from benchmarks.timing import alternate
from netc.diagnostics import Source

if TYPE_CHECKING:
    from netc.runtime.lower import Net

SIZE, WIDTHS, BINS, CLASSES = 97, (32, 64, 128), (1, 2, 3, 6), 21
HEAD = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: %d dim: %d } } }\n'


def prototxt() -> str:
    """Three strided convolutions, a pyramid of four poolings, and scores of the input's size."""
    lines, bottom = [HEAD % (SIZE, SIZE)], "data"
    for index, width in enumerate(WIDTHS):
        lines += _block(f"conv{index}", bottom, width, "kernel_size: 3 stride: 2 pad: 1")
        bottom = f"conv{index}"
    lines += _block("deep", bottom, WIDTHS[-1], "kernel_size: 3 pad: 2 dilation: 2")
    side = (SIZE - 1) // 8 + 1
    for bins in BINS:
        window = -(-side // bins)
        pooling = f"pooling_param {{ kernel_size: {window} stride: {window} pool: AVE }}"
        lines.append(_layer(f"p{bins}", "Pooling", "deep", pooling))
        lines += _block(f"c{bins}", f"p{bins}", 32, "kernel_size: 1")
        lines.append(_layer(f"i{bins}", "Interp", f"c{bins}", f"interp_param {{ height: {side} width: {side} }}"))
    lines.append(_layer("all", "Concat", " ".join(("deep", *(f"i{bins}" for bins in BINS)))))
    lines += _block("last", "all", WIDTHS[-1], "kernel_size: 3 pad: 1")
    scores = f"num_output: {CLASSES} kernel_size: 1 weight_filler {{ type: 'xavier' }}"
    lines.append(_layer("score", "Convolution", "last", f"convolution_param {{ {scores} }}"))
    lines.append(_layer("up", "Interp", "score", "interp_param { zoom_factor: 8 }"))
    return "\n".join(lines)


def _layer(name: str, kind: str, bottoms: str, parameters: str = "", top: str = "") -> str:
    words = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {words} top: "{top or name}" {parameters} }}'


def _block(name: str, bottom: str, width: int, window: str) -> list[str]:
    fields = f"num_output: {width} bias_term: false {window} weight_filler {{ type: 'msra' }}"
    return [
        _layer(name, "Convolution", bottom, f"convolution_param {{ {fields} }}"),
        _layer(f"{name}/bn", "BN", name, "bn_param { slope_filler { value: 1 } }", name),
        _layer(f"{name}/relu", "ReLU", name, top=name),
    ]


class ByHand(nn.Module):
    """The same net; parameters in the order of the prototxt."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *WIDTHS)
        self.body = nn.Sequential(
            *(self._block(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)),
            self._block(WIDTHS[-1], WIDTHS[-1], 3, padding=2, dilation=2),
        )
        self.parts = nn.ModuleList(self._block(WIDTHS[-1], 32, 1) for _ in BINS)
        self.last = self._block(WIDTHS[-1] + 32 * len(BINS), WIDTHS[-1], 3, padding=1)
        self.score = nn.Conv2d(WIDTHS[-1], CLASSES, 1)

    @staticmethod
    def _block(before: int, after: int, kernel: int, **window: int) -> nn.Module:
        convolution = nn.Conv2d(before, after, kernel, bias=False, **window)  # type: ignore[arg-type]
        return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """The scores, of the input's size."""
        x = self.body(x)
        side = x.shape[2]
        found = [x]
        for bins, part in zip(BINS, self.parts):
            window = -(-side // bins)
            pooled = part(functional.avg_pool2d(x, window, window, ceil_mode=True))
            found.append(functional.interpolate(pooled, (side, side), mode="bilinear", align_corners=True))
        scores = self.score(self.last(torch.cat(found, 1)))
        extent = (side - 1) * 8 + 1
        return functional.interpolate(scores, (extent, extent), mode="bilinear", align_corners=True)


def pair(device: str) -> tuple[Net, nn.Module]:
    """Both nets with the same random weights, in eval mode."""
    net = netc.load(Source("pyramid", prototxt()), seed=1)
    by_hand = ByHand().eval()
    generator = torch.Generator().manual_seed(2)
    names = {"mean": "running_mean", "variance": "running_var"}
    tensors = (tensor for _, tensor in _tensors(by_hand))
    with torch.no_grad():
        for blob, tensor in zip(net.blobs, tensors, strict=True):
            if blob.weight.name in names or (blob.weight.name in ("weight", "bias") and blob.tensor.dim() == 1):
                blob.tensor.copy_(torch.rand(blob.tensor.shape, generator=generator) + 0.5)
            tensor.copy_(blob.tensor)
    return net.to(device), by_hand.to(device)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in module.state_dict().items() if "num_batches" not in name]


def forward(device: str, rounds: int) -> Result:
    """Inference of one image in eager mode."""
    from benchmarks.nets import waiter

    net, by_hand = pair(device)
    x = torch.rand(1, 3, SIZE, SIZE, device=device)

    def ours() -> Tensor:
        with torch.no_grad():
            return net(x)["up"]

    def theirs() -> Tensor:
        with torch.no_grad():
            return by_hand(x)

    torch.testing.assert_close(ours(), theirs(), rtol=1e-3, atol=1e-4)
    return Result("pyramid-forward", alternate(ours, theirs, rounds, wait=waiter(device)), 1.03, notes={"batch": 1})
