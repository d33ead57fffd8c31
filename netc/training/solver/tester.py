"""A solver's tests (`solver.cpp`, TestAll, Test)."""

from __future__ import annotations

import contextlib
from itertools import chain
from typing import TYPE_CHECKING

from netc.training.average_precision import DetectionScores
from netc.training.log.events import (
    LogNote,
    NewBest,
    Output,
    PatienceExhausted,
    TestFinished,
    TestInterrupted,
    TestStarted,
)
from netc.training.snapshots.positions import Positions
from netc.training.snapshots.recurrent_state import restore_state
from netc.training.snapshots.sidecar import restore_random_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from netc.training.snapshots.checkpoints import Checkpoints
    from netc.training.solver.early_stopping import EarlyStopping
    from netc.training.solver.run_state import RunState
    from netc.training.solver.runnable_net import RunnableNet


class Tester:
    """Runs the test nets of a solver; sets the run's `stopping` if a stop is requested during a test."""

    def __init__(self, state: RunState, checkpoints: Checkpoints) -> None:
        self.state, self.checkpoints = state, checkpoints
        self._snapshot_requested = False
        self._monitors = [state.data_monitor(test, f"test net #{index}: ") for index, test in enumerate(state.tests)]

    def test_all(self) -> list[tuple[Output, ...]]:
        """See Solver.test_all. After an interruption the data of all test nets are where they were before it."""
        state, before = self.state, Positions.of(self.state)
        results: list[tuple[Output, ...]] = []
        for index in range(len(state.tests)):
            outputs = self.test(index)
            if state.stopping:
                self._rewind(before)
                break
            results.append(outputs)
            if state.early_stopping and outputs and index == state.early_stopping.net:
                self._update_best(state.early_stopping, outputs)
        if self._snapshot_requested:
            self._write_requested()
        return results

    def test(self, index: int) -> tuple[Output, ...]:
        """See Solver.test."""
        state, batches = self.state, self.state.settings.test_iter[index]
        if not batches:
            return ()
        before = Positions.of(state)
        state.listener(TestStarted(state.iteration, index))
        detects = state.settings.eval_type == "detection"
        finished = (self._detect if detects else self._average)(index, batches)
        if finished is None:
            self._rewind(before)
            state.listener(TestInterrupted(state.iteration, index))
            return ()
        state.listener(finished)
        return finished.outputs

    def _average(self, index: int, batches: int) -> TestFinished | None:
        """Test a net: the mean of each output over the batches; None if interrupted."""
        state, test = self.state, self.state.tests[index]
        with self._testing(test):
            sums = test.sum_batches(batches, self._interrupted)
        state.raise_device_errors()
        if sums is None:
            return None
        self._monitors[index].report(only_skipped=True)
        loss, *totals = state.world.average([sums[0], *sums[1]])
        outputs = test.outputs(totals, 1 / batches)
        return TestFinished(state.iteration, index, outputs, self._mean(loss, batches))

    def _detect(self, index: int, batches: int) -> TestFinished | None:
        """Test a net that detects: the mean average precision of each output; None if interrupted."""
        state, test = self.state, self.state.tests[index]
        names = [test.graph.values[name].blob for name in test.graph.outputs]
        scores = [DetectionScores() for _ in names]

        def add(outputs: Sequence[Tensor]) -> None:
            for score, output in zip(scores, outputs):
                score.add(output.detach().cpu().numpy())

        with self._testing(test):
            loss = test.run_batches(batches, self._interrupted, add)
        state.raise_device_errors()
        if loss is None:
            return None
        self._monitors[index].report(only_skipped=True)
        (loss,), gathered = state.world.average([loss]), zip(*state.world.gather(scores))
        merged, version = [first.merge(others) for first, *others in gathered], state.settings.ap_version
        classes = [self._of_classes(score) for score in merged if state.settings.show_per_class_result]
        outputs = tuple(Output(name, score.mean(version)) for name, score in zip(names, merged))
        return TestFinished(state.iteration, index, outputs, self._mean(loss, batches), tuple(chain(*classes)))

    def _of_classes(self, score: DetectionScores) -> tuple[Output, ...]:
        """Return the average precision of each class with detections; report the others."""
        by_class = score.by_class(self.state.settings.ap_version)
        for label in (label for label, value in by_class.items() if value is None):
            self.state.listener(LogNote("solver.cpp:504", f"Missing true_pos for label: {label}", "W"))
        return tuple(Output(f"class{label}", value) for label, value in by_class.items() if value is not None)

    def _mean(self, loss: Tensor, batches: int) -> float | None:
        return float(loss) / batches if self.state.settings.test_compute_loss else None

    @contextlib.contextmanager
    def _testing(self, test: RunnableNet) -> Iterator[None]:
        """A context in which a net is tested with the weights that are to be tested."""
        state = self.state
        test.executor.debug_info = state.settings.debug_info
        test.net.eval()
        try:
            with state.weight_average.applied() if state.weight_average else contextlib.nullcontext():
                yield
        finally:
            state.net.train()

    def _interrupted(self) -> bool:
        """Whether to interrupt a test. A snapshot requested during a test is written after it."""
        state, request = self.state, self.state.agree_on_request()
        self._snapshot_requested = self._snapshot_requested or request.writes
        state.stopping = state.stopping or request.stops
        return state.stopping

    def _rewind(self, before: Positions) -> None:
        """Move the data of the test nets, and the random numbers, back to where they were before a test."""
        for test, states in zip(self.state.tests, before.tests):
            for key, feed in test.feeds.items():
                feed.restore(states[key])
        restore_random_state(before.random)
        for part, states in zip(self.state.nets, before.recurrent):
            restore_state(part.net, states, self.state.device)

    def _write_requested(self) -> None:
        """Write the snapshot that was requested during a test, unless that of this iteration exists."""
        self._snapshot_requested = False
        if self.checkpoints.written == self.state.iteration:
            text = f"The snapshot of iteration {self.state.iteration} has already been written"
            self.state.listener(LogNote("netc:1", text))
        else:
            self.checkpoints.try_to(self.checkpoints.write)

    def _update_best(self, early_stopping: EarlyStopping, outputs: tuple[Output, ...]) -> None:
        """Keep the best snapshot, and stop after `patience` tests without a better one."""
        state, best = self.state, early_stopping
        if best.update(outputs, state.iteration):
            state.listener(NewBest(state.iteration, best.name, best.best))
            self.checkpoints.try_to(self.checkpoints.write_best)
        elif best.exhausted:
            state.listener(PatienceExhausted(state.iteration, best.name, best.misses, best.best, best.iteration))
            state.stopping = True
