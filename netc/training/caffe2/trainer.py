"""Trains a Caffe2 training net: `netc.load_trainer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from netc.diagnostics import NetcError, did_you_mean
from netc.frontends import read_net
from netc.init_net import read_weights
from netc.training.caffe2.workspace_net import WorkspaceNet
from netc.weights import StateDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from netc.diagnostics import Source
    from netc.weights import Weights


class Trainer:
    """A training net with the blobs that it changes."""

    def __init__(self, net: WorkspaceNet, stored: Mapping[str, Tensor]) -> None:
        self.net = net
        self._stored = dict(stored)
        """The blobs that the init net filled, as they are now."""
        self._others: dict[str, Tensor] = {}
        """The other blobs after the last step."""

    def step(self, inputs: Mapping[str, ArrayLike] | None = None) -> float:
        """Run one iteration with arrays by blob name; return the loss before the update, the sum if there are several.

        Inputs that are not passed keep their blobs: those of the init net, or of an earlier iteration if the net has
        written them. Raises NetcError E302 for inputs that are missing or unknown, E102, E107 or E301 for those that an
        operator does not accept.
        """
        fed = {name: self.net.feed(name, array) for name, array in (inputs or {}).items()}
        kept = {name: blob for name, blob in self._others.items() if name in self.net.inputs}
        self._others = {}  # so that the blobs of two iterations are not in memory at once
        self._stored.update((name, blob) for name, blob in fed.items() if name in self._stored)
        written = self.net.run({**kept, **self._stored, **fed})
        self._stored.update((name, written[name]) for name in self._stored.keys() & written.keys())
        self._others = {**kept, **fed, **{n: blob for n, blob in written.items() if n not in self._stored}}
        return self.net.loss(written)

    def state(self) -> dict[str, NDArray[Any]]:
        """The blobs that the init net filled, as they are now: parameters, the state of optimizers, counters."""
        return {name: _array(blob) for name, blob in self._stored.items()}

    def blob(self, name: str) -> NDArray[Any]:
        """A blob after the last step: one of the state, an input, or one that the net wrote.

        Gradients are those of blobs in the state, and those that operators read; an optimizer may have replaced them by
        its update. Raises NetcError E302 for an unknown blob.
        """
        blobs = {**self._others, **self._stored}
        if name not in blobs:
            raise NetcError(f"unknown blob `{name}`", code="E302", help=did_you_mean(name, blobs))
        return _array(blobs[name])


def load_trainer(
    train_net: str | Path | Source, init_net: str | Path | None = None, *, seed: int | None = None
) -> Trainer:
    """Load a Caffe2 training net: forward operators, gradient operators and optimizers in one NetDef.

    `init_net` fills the parameters, the state of the optimizers and the counters; its random fillers are drawn with
    `seed`. Each `Trainer.step` computes what one run of the net computes in Caffe2, with gradients by autograd. Raises
    NetcError with all errors of the nets, and E100 for a net that computes no gradients.
    """
    definition = read_net(train_net)
    definition.report.raise_errors()
    if definition.own_gradients is None:
        help = "a training net has a ConstantFill `<loss>_autogen_grad` and gradient operators"
        raise NetcError(f"`{definition.source.name}` computes no gradients of a loss", help=help)
    held = None if init_net is None else read_weights(init_net, seed)
    stored = {name: torch.from_numpy(array.copy()) for name, array in _arrays(held)}
    return Trainer(WorkspaceNet(definition, stored), stored)


def _arrays(held: Weights | StateDict | None) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(held, StateDict):
        yield from held.tensors.items()
    elif held is not None:
        for layer in held.layers:
            if len(layer.blobs) == 1 and layer.blobs[0] is not None:
                yield layer.name, layer.blobs[0].data


def _array(blob: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = blob.detach().cpu().numpy().copy()
    return array
