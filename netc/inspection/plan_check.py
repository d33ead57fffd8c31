"""check of a Caffe2 plan: its steps, and each of its nets."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontends import PlanDefinition, StateChoice, read_plan
from netc.inspection.net_check import check_net

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.ir.dims import Shape


def plan_in(path: str | Path | Source) -> PlanDefinition | None:
    """The plan in a file; None for any other file, and for one that cannot be read."""
    with contextlib.suppress(NetcError):
        return read_plan(path)
    return None


def check_plan(plan: PlanDefinition, shapes: Mapping[str, Shape] | None = None) -> list[Diagnostic]:
    """Return the diagnostics of a plan and its nets. What one net leaves to another is not followed."""
    found = list(plan.report.diagnostics)
    for net in plan.nets.values():
        found += check_net(net, (), net.states(StateChoice().of(net)), shapes)[0]
    return found
