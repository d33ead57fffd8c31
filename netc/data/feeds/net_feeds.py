"""The feeds of a net's data layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from netc.data.accepted_labels import accepted_labels
from netc.data.feeds.dummy_feed import DummyFeed
from netc.data.feeds.record_feed import RecordFeed

if TYPE_CHECKING:
    from netc.data.feeds.feed import LayerFeed
    from netc.ir.graph import Graph

RANK_SEED_STRIDE = 1_000_003
"""Difference between the random seeds of consecutive ranks."""


def feeds_of(
    graph: Graph, device: torch.device, seed: int, rank: int = 0, world_size: int = 1, skip_bad: bool = False
) -> dict[str, LayerFeed]:
    """Open a feed for each data layer whose data does not come from a program, by node key.

    Raises NetcError for data that cannot be opened.
    """
    feeds: dict[str, LayerFeed] = {}
    for index, node in enumerate(node for node in graph.nodes if node.layer.is_data):
        if node.layer.fed_by == "fillers":
            generator = torch.Generator().manual_seed(seed + index + RANK_SEED_STRIDE * rank)
            feeds[node.key] = DummyFeed(node, device, generator)
        elif node.layer.fed_by not in ("input", "memory", "python"):
            accepted = accepted_labels(graph, node) if skip_bad else None
            feeds[node.key] = RecordFeed(
                node, graph.state.phase, device, seed + index, rank, world_size, skip_bad, accepted
            )
    return feeds
