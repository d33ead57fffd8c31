"""Names of a net's layers and blobs."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, did_you_mean
from netc.ir.graph import AUTOMATIC, Graph
from netc.layers.input import Input

if TYPE_CHECKING:
    from netc.runtime.array_blobs import Blob


class UnknownBlobError(NetcError, KeyError):
    """The name of a blob that the net does not have."""


class NetNames:
    """The read-only part of Net: its layers and blobs, and how they are connected."""

    graph: Graph
    blobs: OrderedDict[str, Blob]
    """Every blob by name, in the order of the file; `data` and `diff` are NumPy arrays."""

    @cached_property
    def inputs(self) -> list[str]:
        """Blobs of Input layers."""
        nodes = (node for node in self.graph.nodes if isinstance(node.layer, Input))
        return [self._blob_name(top) for node in nodes for top in node.tops]

    @cached_property
    def outputs(self) -> list[str]:
        """Blobs without readers, sorted."""
        names = (self.graph.values[name].blob for name in self.graph.outputs)
        return [name for name in names if name != AUTOMATIC]

    @cached_property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """The tops of each layer, by its name."""
        return OrderedDict((node.name, list(map(self._blob_name, node.tops))) for node in self.graph.nodes)

    @cached_property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """The bottoms of each layer, by its name."""
        return OrderedDict((node.name, list(map(self._blob_name, node.bottoms))) for node in self.graph.nodes)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of each blob."""
        weights = {self._blob_name(name): weight for name, weight in self.graph.losses}
        return OrderedDict((name, weights.get(name, 0.0)) for name in self.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(self._blob_name(name)) for name in self.graph.nodes[layer].tops]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(self._blob_name(name)) for name in self.graph.nodes[layer].bottoms]

    def _blob_name(self, value: str) -> str:
        return self.graph.values[value].blob

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise UnknownBlobError(f"the net has no blob `{name}`", code="E302", help=did_you_mean(name, self.blobs))
        return self.blobs[name]
