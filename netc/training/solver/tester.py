"""A solver's tests (`solver.cpp`, TestAll, Test)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from torch import Tensor

from netc.training.data_monitor import data_watch
from netc.training.log.events import NewBest, Output, PatienceExhausted, TestFinished, TestInterrupted, TestStarted
from netc.training.solver.early_stopping import EarlyStopping
from netc.training.solver.signals import Request
from netc.training.solver.solver_net import SolverNet

if TYPE_CHECKING:
    from netc.training.solver.loop import Solver


class Tester:
    """Runs the test nets of one solver; sets its `stopping` where that is asked for meanwhile."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self._snapshot_wanted = False
        self._data_watches = [
            data_watch(solver, test, f"test net #{index}: ") for index, test in enumerate(solver.tests)
        ]

    def all(self) -> list[tuple[Output, ...]]:
        """See Solver.test_all."""
        solver = self.solver
        results: list[tuple[Output, ...]] = []
        for index in range(len(solver.tests)):
            outputs = self.one(index)
            if solver.stopping:
                break
            results.append(outputs)
            if solver.watch and index == solver.watch.net:
                self._look(solver.watch, outputs)
        if self._snapshot_wanted:
            self._snapshot_wanted = False
            solver.snapshot()
        return results

    def one(self, index: int) -> tuple[Output, ...]:
        """See Solver.test."""
        solver, batches = self.solver, self.solver.settings.test_iter[index]
        solver.tell(TestStarted(solver.iteration, index))
        summed = self._summed(solver.tests[index], batches)
        solver.look()
        if summed is None:
            solver.tell(TestInterrupted(solver.iteration, index))
            return ()
        self._data_watches[index].tell(only_skipped=True)
        loss, *sums = solver.team.average([summed[0], *summed[1]])
        outputs = solver.tests[index].outputs(sums, 1 / batches)
        mean = float(loss) / batches if solver.settings.test_compute_loss else None
        solver.tell(TestFinished(solver.iteration, index, outputs, mean))
        return outputs

    def _summed(self, test: SolverNet, batches: int) -> tuple[Tensor, list[Tensor]] | None:
        solver = self.solver
        test.executor.talks = solver.settings.debug_info
        test.net.eval()
        try:
            with solver.average.applied() if solver.average else contextlib.nullcontext():
                return test.summed(batches, self._interrupted)
        finally:
            solver.net.train()

    def _interrupted(self) -> bool:
        """Whether to break off a test. A snapshot that is asked for waits for the test's end."""
        solver = self.solver
        request = solver.team.agree(solver.requested())
        self._snapshot_wanted = self._snapshot_wanted or request is Request.SNAPSHOT
        solver.stopping = solver.stopping or request is Request.STOP
        return solver.stopping

    def _look(self, watch: EarlyStopping, outputs: tuple[Output, ...]) -> None:
        """Keep the best snapshot, and stop where there was none for too long."""
        solver = self.solver
        if watch.take(outputs, solver.iteration):
            solver.tell(NewBest(solver.iteration, watch.name, watch.best))
            solver.checkpoints.write_best()
        elif watch.exhausted:
            solver.tell(PatienceExhausted(solver.iteration, watch.name, watch.misses, watch.best, watch.iteration))
            solver.stopping = True
