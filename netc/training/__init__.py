"""Caffe's solvers: settings, update rules, loop, snapshots, log.

    train("solver.prototxt", listener=GlogWriter(sys.stderr))     what `netc train` does (netc.training.run)
    settings_of(fields), read_settings(path)                  SolverParameter as a value (no torch)
    Solver(settings, device=, listener=, ...)                     .net .test_nets .iteration .step(n) .solve() .test(i)
                                                              .snapshot() .restore(path) .optimizer .schedule
                                                              .checkpoints .average .watch .requested .stopping
    options.Options                                           `netc_param`, settings of netc's own
    optimizers.SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam    torch optimizers over a net's blobs
    lr_policy.Schedule, events, log.GlogWriter, sidecar, snapshot
    distributed.join_world, launching.launch                      several processes, over torch.distributed
    seeing.JsonWriter, tensorboard.TensorBoardWriter          listeners for whoever looks later
    parse_log.read_log, plotting.draw                         logs as tables and as pictures (no torch)

The loop tells a listener what happens (`events`), and prints nothing. What runs the nets is an `executor.Executor`: the
straight-line code, or another one that goes node by node.

Codes:

    E601  the solver's nets: none, several, or not as many as `test_iter` and `test_state` say; a net without weights
    E602  the learning rate policy: missing, unknown, or without a field that it needs; `max_iter` missing
    E603  a value that makes no sense: a negative rate, `test_iter: 0`, ...
    E604  the solver's type: unknown, or with a momentum that it does not take
    E605  the folder for snapshots is missing, or may not be written to
    E606  there is no such GPU
    E607  a data layer that only a program can feed
    E608  both a snapshot to resume and weights to start from
    E609  a watched output that no test net has
    E610  layers to rename or to freeze that there are not
    E611  mix-up of inputs that are indices
    E621  a process of a training with several is gone
    E631  a log that tells of no iteration
    E632  a file for what is told of a run cannot be written
    E633  a package that only pictures or TensorBoard need is not installed
    E634  a picture's file name without one of the known endings
    E701  the loss is NaN or infinite: which iteration, which blob
    E702  a snapshot without its weight file
    E703  a snapshot of another net, of another solver, or of another PyTorch
    E704  batches of a test give outputs of different sizes
    E705  weights and a solver's state that do not go together
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.training.solver.settings import SolverSettings, read_settings, settings_of

if TYPE_CHECKING:
    from netc.training.run import train
    from netc.training.solver.solver import Solver

__all__ = ["Solver", "SolverSettings", "read_settings", "settings_of", "train"]


def __getattr__(name: str) -> Any:
    """Whatever needs torch is imported on first use: checking a solver must not wait for it."""
    if name == "Solver":
        from netc.training.solver.solver import Solver

        return Solver
    if name == "train":
        from netc.training.run import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
