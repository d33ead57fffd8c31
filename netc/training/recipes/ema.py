"""An exponential moving average of a net's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from netc.runtime.blobs import LayerBlob
from netc.runtime.lower import Net


class WeightAverage:
    """Follows the learnable blobs: a = d a + (1 - d) w after each update.

    In the first updates d is min(`decay`, (1 + n) / (10 + n)) with n updates done, so that the first weights are
    forgotten (the rule of TensorFlow's ExponentialMovingAverage). Statistics of BatchNorm are averages already.
    """

    def __init__(self, net: Net, decay: float) -> None:
        self.decay, self.net = decay, net
        self.updates = 0
        self._blobs = [blob for blob in net.blobs if blob.is_owner and blob.weight.learnable]
        self._kept = [blob.tensor.detach().clone() for blob in self._blobs]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self._kept, self._weights(), 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The net has the average as its weights while the context lasts."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def restart(self, updates: int = 0) -> None:
        """Begin with the weights as they are now."""
        self.updates = updates
        torch._foreach_copy_(self._kept, self._weights())

    @torch.no_grad()
    def _exchange(self) -> None:
        """In place: compiled code and CUDA graphs hold on to the addresses of weights."""
        weights = self._weights()
        before = [weight.clone() for weight in weights]
        torch._foreach_copy_(weights, self._kept)
        torch._foreach_copy_(self._kept, before)

    def _weights(self) -> list[Tensor]:
        return [_values(blob) for blob in self._blobs]


def _values(blob: LayerBlob) -> Tensor:
    return blob.tensor.detach()
