"""Training as in Caffe: the solver, its snapshots and logs, recipes, and training with several processes.

    run.py                  train(): one call for a whole run, `netc.train` and `netc train`
    solver/                 settings, nets, optimizer, training loop, tests; update_rules/ has one file per solver type
    snapshots/              snapshots in Caffe's formats, and netc's sidecar
    distributed/            several processes over torch.distributed
    log/                    events and their outputs: Caffe's log, JSON, TensorBoard; parsing and plotting logs
    recipes/                fine-tuning, mix-up, moving averages, loss scaling, LARC
    evaluation.py           a net with its data but without a solver: `netc test`, `netc time`
    feature_extraction.py   blobs written to databases: `netc features`
    data_monitor.py         reports slow data and skipped records
    device.py, numerics.py  where and how a process computes

The solver sends events to a listener (`log.events`) and prints nothing. An `executor.Executor` runs each net.

Codes:

    E601  the solver's nets: none, several, or a number that contradicts `test_iter` or `test_state`; no weights
    E602  the learning rate policy: missing, unknown, or without a field that it requires; missing `max_iter`
    W602  a field that the learning rate policy reads is not set
    W603  a learning rate that jumps when the warm-up ends
    E603  an invalid value: a negative rate, ...
    E604  the solver's type: unknown, or with a field that it does not support
    E605  the folder for snapshots is missing or not writable
    E606  unknown GPU
    E607  a data layer that only a program can feed, or whose records cannot be run once each
    E608  both a snapshot to resume from and weights to start from
    E609  a watched output that no test net has
    E610  unknown layers to rename or to freeze
    E611  mix-up of inputs that are indices
    E621  a process of a distributed run has ended
    E631  a log without iterations
    W631  lines of a log with results that were not understood
    E632  a log file that cannot be written
    E633  a missing package for plots or TensorBoard
    E634  an unknown file extension of a plot
    E701  the loss is NaN or infinite: the iteration and the blob
    E702  a snapshot without its weights file
    E703  a snapshot of another net, another solver or another PyTorch
    E704  batches of a test with outputs of different sizes
    E705  files of different snapshots
    E706  a damaged sidecar or solver state: the field
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.training.solver.settings import SolverSettings, read_settings, settings_of

if TYPE_CHECKING:
    from netc.training.run import train
    from netc.training.solver.solver import Solver

__all__ = ["Solver", "SolverSettings", "read_settings", "settings_of", "train"]


def __getattr__(name: str) -> Any:
    """Import what requires torch on first use: checking a solver must not import it."""
    if name == "Solver":
        from netc.training.solver.solver import Solver

        return Solver
    if name == "train":
        from netc.training.run import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
