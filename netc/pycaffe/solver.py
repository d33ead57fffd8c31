"""Caffe's solver objects for Python: the solver of netc.train over pycaffe nets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from netc.pycaffe.build import NetParts
from netc.pycaffe.glog import log_event
from netc.pycaffe.import_caffe import bind_python_layers
from netc.pycaffe.mode import device
from netc.pycaffe.nccl import NCCL
from netc.pycaffe.net import Net
from netc.pycaffe.net_feeds import feeds_of
from netc.runtime.memory import memory_key
from netc.training.solver.settings import read_settings
from netc.training.solver.solver import Solver as CaffeSolver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from netc.data.feeds.feed import LayerFeed
    from netc.ir.graph import Graph
    from netc.pycaffe.files import Path
    from netc.runtime import lower


class FacadeExecutor:
    """Runs a solver's net as a pycaffe net: values written into its blobs between two steps are used in the next."""

    def __init__(self, net: lower.Net, graph: Graph, feeds: Mapping[str, LayerFeed]) -> None:
        self.facade = Net.of_parts(NetParts(graph, net, {**feeds_of(graph, excluded=feeds), **feeds}))
        self.debug_info = False
        self._lines = self.facade.debug_lines(log_event, lambda: self.debug_info)
        self.losses = tuple(graph.values[name].blob for name, _ in graph.losses)
        self.outputs: Sequence[Tensor] = ()
        self._graph = graph

    def clear_gradients(self) -> None:
        """See netc.training.solver.executor.Executor."""
        self.facade.clear_param_diffs()

    def forward(self) -> Sequence[Tensor]:
        """See netc.training.solver.executor.Executor."""
        self.facade.run_forward()
        self.outputs = [self._data(name) for name in self._graph.outputs]
        return [self._data(name).sum() * weight for name, weight in self._graph.losses]

    def forward_backward(self) -> Sequence[Tensor]:
        """See netc.training.solver.executor.Executor."""
        losses = self.forward()
        self.facade.run_backward()
        self._lines.norms()
        return losses

    def _data(self, value: str) -> Tensor:
        values = self.facade.memory[memory_key(self._graph, value)].values
        return values.tensor.clone() if values.lent else values.tensor


class SolverParameter:
    """The settings of a solver, as attributes. Raises AttributeError for setting any but `base_lr`, as in Caffe."""

    def __init__(self, solver: CaffeSolver) -> None:
        object.__setattr__(self, "_solver", solver)

    _solver: CaffeSolver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._solver.settings, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "base_lr":
            raise AttributeError(f"`{name}` cannot be set: of a solver's settings only `base_lr` can")
        self._solver.set_base_lr(value)

    def __dir__(self) -> list[str]:
        return dir(self._solver.settings)


class Solver:
    """A solver of a solver prototxt.

    `net` and `test_nets` are pycaffe nets that share weights. They run on the device of `set_mode_cpu` or
    `set_mode_gpu`, regardless of `solver_mode` in the file. Caffe's log is written to stderr; see `init_log`. Raises
    NetcError for invalid settings and nets.
    """

    type: ClassVar[str] = ""
    """The solver's type; empty to use the type in the file."""

    def __init__(self, solver_file: Path) -> None:
        settings = read_settings(os.fsdecode(solver_file))
        if self.type:
            settings = settings.with_values(type=self.type)
        self._solver = CaffeSolver(
            settings, device=device(), listener=log_event, executor=FacadeExecutor, prepare=bind_python_layers
        )
        self._solver.state.optimizer.keep_updates = True

    @property
    def param(self) -> SolverParameter:
        """The settings: `max_iter`, `display`, ...; `base_lr` can be set."""
        return SolverParameter(self._solver)

    @property
    def net(self) -> Net:
        """The train net."""
        return _facade(self._solver.state.train.executor)

    @property
    def test_nets(self) -> list[Net]:
        """The test nets."""
        return [_facade(test.executor) for test in self._solver.state.tests]

    @property
    def iter(self) -> int:
        """The number of completed iterations."""
        return self._solver.iteration

    def step(self, iterations: int) -> None:
        """Train for a number of iterations, with the tests and snapshots that are due.

        Afterwards the diff of a weight is the value that was subtracted from it.
        """
        self._solver.step(iterations)

    def solve(self, resume_file: Path | None = None) -> None:
        """Train to the last iteration, from a solver state if one is given."""
        if resume_file is not None:
            self.restore(resume_file)
        self._solver.solve()

    @property
    def lr(self) -> float:
        """The learning rate of the current iteration, without the factors of layers."""
        return self._solver.learning_rate

    @property
    def base_lr(self) -> float:
        """The setting `base_lr`, which can be set; it takes effect with the next iteration."""
        return self._solver.settings.base_lr

    @base_lr.setter
    def base_lr(self, value: float) -> None:
        self._solver.set_base_lr(value)

    def apply_update(self) -> None:
        """Subtract the update that the gradients of the weights yield at the learning rate of the current iteration."""
        self._solver.apply_update()

    def restore(self, state_file: Path) -> None:
        """Continue from a snapshot; `state_file` is a .solverstate of netc or of Caffe."""
        self._solver.restore(os.fsdecode(state_file))

    def snapshot(self) -> None:
        """Write weights and solver state under `snapshot_prefix`."""
        self._solver.snapshot()

    def share_weights(self, net: Net) -> None:
        """Share the train net's weights with another net."""
        net.share_with(self.net)

    def add_callback(
        self, on_start: Callable[[], None] | NCCL, on_gradients_ready: Callable[[], None] | None = None
    ) -> None:
        """Call `on_start` before the passes of each iteration, `on_gradients_ready` between them and the update.

        A single argument is an NCCL, which has both.
        """
        group = on_start if isinstance(on_start, NCCL) else None
        start = group.on_start if group else on_start
        ready = group.on_gradients_ready if group else on_gradients_ready
        assert not isinstance(start, NCCL)
        self._solver.on_start.append(start)
        if ready is not None:
            self._solver.on_gradients_ready.append(ready)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum; in Caffe the base of all other solvers."""

    type = "SGD"


class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient."""

    type = "Nesterov"


class AdaGradSolver(SGDSolver):
    """AdaGrad."""

    type = "AdaGrad"


class RMSPropSolver(SGDSolver):
    """RMSProp."""

    type = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    """AdaDelta."""

    type = "AdaDelta"


class AdamSolver(SGDSolver):
    """Adam."""

    type = "Adam"


def get_solver(solver_file: Path) -> Solver:
    """Return the solver that a file describes, of the class of its `type`. Raises NetcError."""
    return solver_class(read_settings(os.fsdecode(solver_file)).type)(solver_file)


def solver_class(name: str) -> type[Solver]:
    """Return the class of a solver type; a type that Caffe does not have gets a new class.

    >>> solver_class("Adam").__name__
    'AdamSolver'
    """
    classes: list[type[Solver]] = [SGDSolver, *SGDSolver.__subclasses__()]
    known = {cls.type: cls for cls in classes}
    return known.get(name) or type(f"{name}Solver", (SGDSolver,), {"type": name})


def _facade(executor: object) -> Net:
    assert isinstance(executor, FacadeExecutor), "the solver uses the executor passed to it"
    return executor.facade
