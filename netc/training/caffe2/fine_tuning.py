"""Fine-tunes a Caffe2 predict net with a solver, whose net has the data layers and the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.compiler import Prepare, file_weights, unprepared, weighted
from netc.diagnostics import NetcError, Report
from netc.frontends import read_net
from netc.init_net import read_weights
from netc.ir.graph import State
from netc.passes.insert_net import insert_net
from netc.training.run import train
from netc.weights import StateDict, check_output
from netc.weights.init_net_file import write_init_net

if TYPE_CHECKING:
    from pathlib import Path

    from netc.ir.graph import Graph
    from netc.training.solver.settings import SolverSettings
    from netc.training.solver.solver import Solver


def fine_tune(
    net: str | Path,
    solver: str | Path | SolverSettings,
    init: str | Path,
    *,
    output: str | Path | None = None,
    prepare: Prepare = unprepared,
    **options: Any,
) -> Solver:
    """Train a Caffe2 net as a solver says, from the weights in its init net; return the solver.

    The solver's net has data layers, whose tops are the inputs of the Caffe2 net by name, and layers that read its
    outputs, each declared as the top of an Input layer: see `netc.passes.insert_net`. Blobs of the init net that have
    a gradient are learned. `output` is an init net to write with the trained blobs. `options` are those of
    `netc.train`. Raises NetcError.
    """
    target = None if output is None else check_output(output)
    definition, held = read_net(net), read_weights(init)
    definition.report.raise_errors()
    if definition.own_gradients is not None:
        help = "a training net needs no solver: `netc train train_net.pb --init init_net.pb`"
        raise NetcError(f"`{net}` computes its own gradients", help=help)
    definition.describe_weights([held])

    def insert(graph: Graph) -> Graph:
        inner, report = definition.graph(State(graph.state.phase))
        Report(report.with_shapes(inner)).raise_errors()
        return insert_net(prepare(graph), inner)

    run = train(solver, weights=[init], prepare=insert, **options)
    if target is not None:
        arrays = held.tensors if isinstance(held, StateDict) else {name: blobs[0] for name, blobs in held.arrays}
        trained = {layer.name: layer.blobs[0] for layer in file_weights(weighted(run.net)).layers if layer.blobs}
        now = {name: array if (blob := trained.get(name)) is None else blob.data for name, array in arrays.items()}
        write_init_net(target, {name: array for name, array in now.items() if array is not None})
    return run
