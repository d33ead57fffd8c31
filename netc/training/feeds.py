"""What feeds a net's data layers while it trains: one feed a data layer, with a position that a snapshot can hold."""

from __future__ import annotations

import base64
from typing import Any, Protocol

import torch
from torch import Tensor

from netc.data.pipeline.device_feed import DeviceFeed as SourceFeed
from netc.ir.graph import Graph, Node
from netc.runtime.dummy_data import DummySource
from netc.training.solver.net_graphs import WITHOUT_RECORDS, open_node


class LayerFeed(Protocol):
    """Gives the tops of a data layer."""

    def next(self) -> tuple[Tensor, ...]:
        """The tops of the next pass, on the device. Raises NetcError for data that cannot be read."""

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on with the same batches; plain JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a feed of the same layer gave this state."""

    def seek(self, batches: int) -> None:
        """Go on as if so many batches had been taken."""

    def close(self) -> None:
        """Give back threads and files."""


def feeds_of(
    graph: Graph, device: torch.device, seed: int, rank: int = 0, world_size: int = 1, skip_bad: bool = False
) -> dict[str, LayerFeed]:
    """A feed for each data layer that has data of its own, by node key. Raises NetcError for data that is not there."""
    feeds: dict[str, LayerFeed] = {}
    for index, node in enumerate(node for node in graph.nodes if node.layer.is_data):
        if node.layer.type == "DummyData":
            feeds[node.key] = DummyFeed(node, device, seed + index + 1_000_003 * rank)
        elif node.layer.type not in WITHOUT_RECORDS:
            feeds[node.key] = RecordFeed(node, graph.state.phase, device, seed + index, rank, world_size, skip_bad)
    return feeds


class RecordFeed:
    """Batches of a database, a list or HDF5 files, read ahead."""

    def __init__(
        self,
        node: Node,
        phase: str,
        device: torch.device,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        skip_bad: bool = False,
    ) -> None:
        self.tops = len(node.tops)
        self.batch_size: int = getattr(node.layer, "batch_size", 1)
        self.source = open_node(node, phase, seed, rank, world_size, skip_bad)
        self._feed = SourceFeed(self.source, device)

    def next(self) -> tuple[Tensor, ...]:
        """See Feed."""
        return self._feed.next()[: self.tops]

    def state(self) -> dict[str, Any]:
        """See Feed."""
        return dict(self.source.state())

    def restore(self, state: dict[str, Any]) -> None:
        """See Feed."""
        self.source.restore(state)

    def seek(self, batches: int) -> None:
        """See Feed."""
        self.source.seek(batches * self.batch_size)

    def close(self) -> None:
        """See Feed."""
        self.source.close()


class DummyFeed:
    """Tensors that fillers make."""

    def __init__(self, node: Node, device: torch.device, seed: int) -> None:
        layer: Any = node.layer
        count = len(node.tops)
        self.device = device
        self.generator = torch.Generator().manual_seed(seed)
        self._source = DummySource(layer.shapes(count), layer.fillers(count), self.generator)

    def next(self) -> tuple[Tensor, ...]:
        """See Feed. Clones: what the fillers overwrite next may still be in use."""
        return tuple(top.to(self.device) if self.device.type != "cpu" else top.clone() for top in self._source())

    def state(self) -> dict[str, Any]:
        """The generator's state."""
        return {"generator": encoded(self.generator.get_state())}

    def restore(self, state: dict[str, Any]) -> None:
        """See Feed."""
        self.generator.set_state(decoded(state["generator"]))

    def seek(self, batches: int) -> None:
        """Where a snapshot does not hold the generator's state, other random numbers will do."""

    def close(self) -> None:
        """Nothing is open."""


def encoded(state: Tensor) -> str:
    """A generator's state as text."""
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def decoded(text: str) -> Tensor:
    """The inverse of `encoded`."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
