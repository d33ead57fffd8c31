"""Runs a Caffe2 plan: its nets on one workspace, in the order of its steps (`plan_executor.cc`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.training.caffe2.workspace_net import WorkspaceNet

if TYPE_CHECKING:
    from torch import Tensor

    from netc.frontends.definition import PlanDefinition, PlanStep

AfterNet = Callable[[str, WorkspaceNet, "dict[str, Tensor]"], bool]
"""`(name of the net, the net, the workspace)`, called after each run of a net; returns whether to end the plan."""


class PlanRun:
    """A plan and its workspace."""

    def __init__(self, plan: PlanDefinition) -> None:
        """Raises NetcError for a plan with errors."""
        plan.report.raise_errors()
        self.plan = plan
        self.workspace: dict[str, Tensor] = {}
        """Every blob that a net has written, by name."""
        self.filled: dict[str, None] = {}
        """The blobs that nets without gradients have written: what an init net fills."""
        self._nets: dict[str, WorkspaceNet] = {}
        self._is_ended = False

    @property
    def mutexes(self) -> tuple[str, ...]:
        """The blobs of all nets that are mutexes."""
        return tuple(dict.fromkeys(name for net in self._nets.values() for name in net.mutexes))

    def run(self, after: AfterNet = lambda *_: False) -> None:
        """Run every step. Raises NetcError for a net with errors, when it runs first, and as operators do."""
        for step in self.plan.steps:
            self._run_step(step, after)

    def _run_step(self, step: PlanStep, after: AfterNet) -> None:
        if step.only_once and step.stop and self._is_true(step.stop):
            return
        done = 0
        while not self._is_ended and (step.repetitions is None or done < step.repetitions):
            done += 1
            for run in self._parts(step, after):
                run()
                if self._is_ended or (step.stop and self._is_true(step.stop)):
                    break
            if (step.stop and self._is_true(step.stop)) or not (step.steps or step.nets):
                return

    def _parts(self, step: PlanStep, after: AfterNet) -> Sequence[Callable[[], None]]:
        """What a step runs, in order: nets or steps."""
        nets = [partial(self._run_net, name, after) for name in step.nets]
        return nets or [partial(self._run_step, inner, after) for inner in step.steps]

    def _run_net(self, name: str, after: AfterNet) -> None:
        definition = self.plan.nets[name]
        if name not in self._nets:  # not before, as earlier nets determine the shapes of its blobs
            self._nets[name] = WorkspaceNet(definition, self.workspace)
        net = self._nets[name]
        written = net.run(self.workspace)
        self.workspace.update(written)
        if definition.own_gradients is None:
            self.filled.update(dict.fromkeys(written))
        self._is_ended = after(name, net, self.workspace)

    def _is_true(self, blob: str) -> bool:
        """The value of a blob that ends a step (`plan_executor.cc`, getShouldStop)."""
        if blob not in self.workspace:
            raise NetcError(f"nothing has written `{blob}`, the `should_stop_blob` of a step", code="E302")
        value = self.workspace[blob]
        if value.numel() != 1 or str(value.dtype) != "torch.bool":
            shown = f"{str(value.dtype).removeprefix('torch.')} with {value.numel()} elements"
            raise NetcError(f"`{blob}`, the `should_stop_blob` of a step, is {shown}, expected one bool", code="E302")
        return bool(value)
