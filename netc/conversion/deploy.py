"""The net for deployment: a training net with inputs in place of data, and scores in place of losses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.compiler import Prober, checked_graph, graph_of, read_net, state_choice
from netc.conversion.caffe_target import target_of
from netc.diagnostics import NetcError
from netc.exporters.caffe import net_text
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.drop_labels import drop_labels
from netc.passes.drop_losses import drop_losses
from netc.passes.losses_to_scores import losses_to_scores
from netc.passes.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from netc.diagnostics import Source
    from netc.frontends import NetDefinition
    from netc.ir.dims import Shape
    from netc.ir.graph import Graph, State


def with_scores(graph: Graph) -> Graph:
    """Return the graph with scores in place of losses, without accuracies and without what only labels need."""
    return drop_labels(drop_losses(losses_to_scores(graph)))


def deploy(
    net: str | Path | Source,
    *,
    batch: int = 1,
    shapes: Mapping[str, Shape] | None = None,
    phase: str = "test",
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
    values: Mapping[str, str] | None = None,
    dialect: str | None = None,
) -> str:
    """Return the prototxt for deployment of a training net. Never imports torch.

    Data layers become inputs with `batch` items, losses the scores that they compute (SoftmaxWithLoss a Softmax),
    and accuracies and labels are left out. Layers keep their names, so that trained weights fit. `shapes` are shapes of
    tops of data layers that neither the file nor the data define; their first extent is the batch. `autocrop`
    computes the offsets of Crop layers as in `load`. Raises NetcError, among them E802 for a shape that is unknown.
    """
    definition = read_net(net, values, dialect=dialect)
    definition.report.raise_errors()
    state, given = state_choice(phase, level, stages, autocrop).of(definition), dict(shapes or {})
    graph = data_to_inputs(graph_of(definition, state, Prober(), _with_batch_of_file(definition, state, given)))
    graph = with_scores(graph)
    if all(node.layer.is_loss or node.layer.role == "metric" for node in graph.nodes):
        raise NetcError("the net has no layer but data, losses and accuracies", code="E801", span=definition.span)
    return net_text(rebuild(_resized(graph, batch, given)), target_of(dialect))


def _with_batch_of_file(net: NetDefinition, state: State, given: Mapping[str, Shape]) -> dict[str, Shape]:
    """The given shapes with the batch size of their data layer, on which labels depend until they are left out."""
    layers = (node.layer for node in checked_graph(net, state)[0].nodes if node.layer.is_data)
    batch = next((size for layer in layers if (size := getattr(layer, "batch_size", 0))), 0)
    return {blob: (batch, *shape[1:]) if batch else shape for blob, shape in given.items()}


def _resized(graph: Graph, batch: int, given: Mapping[str, Shape]) -> Graph:
    """Set the batch size of the inputs that have that of the first one, and the shapes that are given."""
    inputs = [graph.values[name] for name in graph.inputs if graph.shape(name)]
    size = inputs[0].shape[0] if inputs and inputs[0].shape else 0
    resized = {
        value.name: replace(value, shape=(batch, *value.shape[1:]))
        for value in inputs
        if value.shape and value.shape[0] == size
    }
    resized |= {value.name: replace(value, shape=given[value.blob]) for value in inputs if value.blob in given}
    return graph.replace(values={**graph.values, **resized})
