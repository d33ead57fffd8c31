"""An exponential moving average of a net's weights."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.runtime.blobs import LayerBlob
    from netc.runtime.lower import Net


class WeightAverage:
    """A moving average of the learnable blobs: a = d a + (1 - d) w after each update.

    d is min(`decay`, (1 + n) / (10 + n)) after n updates, so that the initial weights lose their influence quickly (the
    rule of TensorFlow's ExponentialMovingAverage). BatchNorm's statistics are averages already, and are excluded.
    """

    def __init__(self, net: Net, decay: float) -> None:
        self.decay, self.net = decay, net
        self.updates = 0
        self._blobs = [blob for blob in net.blobs if blob.is_owner and blob.weight.learnable]
        self._average = [blob.tensor.detach().clone() for blob in self._blobs]

    @torch.no_grad()
    def update(self) -> None:
        """Include the current weights in the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self._average, self._weights(), 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the net's weights by the average inside the context."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def restart(self, updates: int = 0) -> None:
        """Restart from the current weights."""
        self.updates = updates
        torch._foreach_copy_(self._average, self._weights())

    @torch.no_grad()
    def _exchange(self) -> None:
        """Swap in place: compiled code and CUDA graphs keep the addresses of weights."""
        weights = self._weights()
        before = [weight.clone() for weight in weights]
        torch._foreach_copy_(weights, self._average)
        torch._foreach_copy_(self._average, before)

    def _weights(self) -> list[Tensor]:
        return [_values(blob) for blob in self._blobs]


def _values(blob: LayerBlob) -> Tensor:
    return blob.tensor.detach()
