"""The feeds of a pycaffe net: databases open at the first pass, random data comes from the global generator."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from netc.data.feeds.dummy_feed import DummyFeed
from netc.data.feeds.memory_feed import MemoryFeed
from netc.data.feeds.record_feed import LazyFeed, RecordFeed

if TYPE_CHECKING:
    from collections.abc import Container

    from netc.data.feeds.feed import Feed
    from netc.ir.graph import Graph, Node, Phase
    from netc.runtime.node_executor import Source


def feeds_of(graph: Graph, excluded: Container[str] = ()) -> dict[str, Feed]:
    """A feed for each data layer, by node key, except those in `excluded` and Input layers, which the user fills."""
    nodes = (node for node in graph.nodes if node.layer.is_data and node.layer.fed_by != "input")
    return {node.key: _feed(node, graph.state.phase) for node in nodes if node.key not in excluded}


def source_of(feed: Feed) -> Source:
    """Return the function that the node-by-node executor calls for a feed's tops; constants are not overwritten."""
    return feed.next_random if isinstance(feed, DummyFeed) else feed.next


def _feed(node: Node, phase: Phase) -> Feed:
    if node.layer.fed_by == "fillers":
        return DummyFeed(node)
    if node.layer.fed_by == "memory":
        return MemoryFeed(node)
    return LazyFeed(functools.partial(_open, node, phase))


def _open(node: Node, phase: Phase) -> RecordFeed:
    return RecordFeed(node, phase, torch.device("cpu"), seed=int(torch.randint(2**31, ())))
