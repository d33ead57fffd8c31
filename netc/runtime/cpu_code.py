"""Layers whose CPU code in a fork of Caffe computes other numbers than its GPU code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.runtime.modules import LayerModule

if TYPE_CHECKING:
    from torch import nn


def follow_cpu_code(net: nn.Module) -> None:
    """Compute as the forks' CPU code on the CPU, faults included; by default the GPU code defines a layer."""
    for module in net.modules():
        if isinstance(module, LayerModule):
            module.cpu_code = True
