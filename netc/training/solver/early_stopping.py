"""Early stopping: the best value of a test output so far, and when to stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netc.ir.graph import Graph
    from netc.training.log.events import Output
    from netc.training.solver.settings import SolverSettings


class EarlyStopping:
    """The best value so far of `options.watch`, in the first test net that has this output.

    Of a blob with several elements the first one counts. Raises NetcError E609 if no test net has the output.
    """

    def __init__(self, settings: SolverSettings, tests: Sequence[Graph]) -> None:
        self.name, self.patience = settings.options.watch, settings.options.patience
        outputs = [{graph.values[name].blob: name for name in graph.outputs} for graph in tests]
        self.net = next((index for index, names in enumerate(outputs) if self.name in names), -1)
        if self.net < 0:
            known = sorted({blob for names in outputs for blob in names})
            raise NetcError(
                f"`watch`: no test net has an output `{self.name}`",
                code="E609",
                span=settings.netc_param.span("watch"),
                notes=[f"the outputs are {', '.join(f'`{blob}`' for blob in known)}"],
                help=did_you_mean(self.name, known),
            )
        weights = dict(tests[self.net].losses)
        loss = bool(weights.get(outputs[self.net][self.name]))
        self.lower = settings.options.better == "lower" or (loss and not settings.options.better)
        self.best, self.iteration, self.misses = math.nan, 0, 0
        self.tested: int | None = None
        """The iteration of the last test. A resumed run repeats it, which counts once."""

    def update(self, outputs: Sequence[Output], iteration: int) -> bool:
        """Record the outputs of a test of net `net`; return whether it is the best so far."""
        repeated, self.tested = self.tested == iteration, iteration
        value = next(output.value for output in outputs if output.blob == self.name)
        better = math.isnan(self.best) or (value < self.best if self.lower else value > self.best)
        if better and not math.isnan(value):
            self.best, self.iteration, self.misses = value, iteration, 0
            return True
        self.misses += not repeated
        return False

    @property
    def exhausted(self) -> bool:
        """Whether there was no improvement in the last `patience` tests."""
        return 0 < self.patience <= self.misses

    def state(self) -> dict[str, Any]:
        """Return the state for a snapshot, as plain JSON."""
        best = None if math.isnan(self.best) else self.best
        return {
            "name": self.name,
            "best": best,
            "iteration": self.iteration,
            "misses": self.misses,
            "tested": self.tested,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state that `state` returned; it is ignored if it is of another output."""
        if state["name"] == self.name:
            self.best = math.nan if state["best"] is None else state["best"]
            self.iteration, self.misses = state["iteration"], state["misses"]
            self.tested = state.get("tested")
