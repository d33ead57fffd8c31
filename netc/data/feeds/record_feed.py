"""Feeds of layers that read records: databases, lists and HDF5 files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc import paths
from netc.data.factory import open_source
from netc.data.pipeline.device_feed import DeviceFeed
from netc.diagnostics import NetcError, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from netc.data.accepted_labels import AcceptedLabels
    from netc.data.source import BatchSource
    from netc.ir.graph import Node, Phase


class RecordFeed:
    """Batches of records, read ahead, on a device.

    With `skip_bad` the next usable record replaces one that cannot be used, or whose label is not `accepted`. Raises
    NetcError E501 to E511, with the layer, for data that cannot be opened.
    """

    def __init__(
        self,
        node: Node,
        phase: Phase,
        device: torch.device,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        skip_bad: bool = False,
        accepted: AcceptedLabels | None = None,
    ) -> None:
        self._node = node
        self.tops = len(node.tops)
        self.batch_size: int = getattr(node.layer, "batch_size", 1)
        self.source = _open(node, phase, seed, rank, world_size, skip_bad, accepted)
        self._feed = DeviceFeed(self.source, device)
        self._left: int | None = None

    def next(self) -> tuple[Tensor, ...]:
        """See Feed."""
        try:
            tops = self._feed.next()
            if len(tops) < self.tops:
                found = f"expected {counted(self.tops, 'top')}, but the records fill {len(tops)}"
                raise NetcError(found, code="E106")
        except NetcError as error:
            raise error.at(self._node.span, f"in layer `{self._node.name}`") from None
        if self._left is None:
            return tops[: self.tops]
        count, self._left = self._left, self._left - self.batch_size if self._left > self.batch_size else None
        return self.source.first_of(tops[: self.tops], count)

    def start_pass(self) -> int:
        """Cut the batch that ends a pass over all records; return their number.

        Raises NetcError E607 for windows, which are drawn at random.
        """
        self._left = self.source.epoch_size()
        if self._left is None:
            message = f"layer `{self._node.name}` draws its records at random: no pass reads each once"
            raise NetcError(message, code="E607", span=self._node.span)
        return self._left

    def state(self) -> dict[str, Any]:
        """See LayerFeed."""
        return dict(self.source.state())

    def restore(self, state: dict[str, Any]) -> None:
        """See LayerFeed."""
        self.source.restore(state)

    def seek(self, batches: int) -> None:
        """See LayerFeed."""
        self.source.seek(batches * self.batch_size)

    def close(self) -> None:
        """See Feed."""
        self.source.close()


class LazyFeed:
    """A feed that is opened when its first batch is read, so that a net can be loaded without its data."""

    def __init__(self, open_feed: Callable[[], RecordFeed]) -> None:
        self._open_feed = open_feed
        self._feed: RecordFeed | None = None

    def next(self) -> tuple[Tensor, ...]:
        """See Feed. Raises NetcError as RecordFeed does."""
        if self._feed is None:
            self._feed = self._open_feed()
        return self._feed.next()

    def close(self) -> None:
        """See Feed. The next batch opens a new feed."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def _open(
    node: Node,
    phase: Phase,
    seed: int,
    rank: int,
    world_size: int,
    skip_bad: bool,
    accepted: AcceptedLabels | None,
) -> BatchSource:
    try:
        return open_source(
            node.layer,
            phase,
            seed=seed,
            resolve_path=lambda name: paths.find(name, node.origin.file)[0],
            tops=node.origin.tops,
            rank=rank,
            world_size=world_size,
            skip_bad=skip_bad,
            accepted=accepted,
        )
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`") from None
