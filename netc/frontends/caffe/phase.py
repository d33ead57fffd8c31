"""Which layers of a file belong to the net that is meant: include and exclude rules (`net.cpp`, FilterNet)."""

from __future__ import annotations

from netc.diagnostics import NetcError
from netc.ir.fields import Fields
from netc.ir.graph import State


def included(layer: Fields, state: State) -> bool:
    """Whether the layer is in the net of `state`.

    Raises NetcError E013 for a layer with both kinds of rules.
    """
    include, exclude = layer["include"], layer["exclude"]
    if include and exclude:
        raise NetcError(
            "a layer takes either `include` or `exclude` rules, not both", code="E013", span=layer.span("exclude")
        )
    if include:
        return any(meets(state, rule) for rule in include)
    return not any(meets(state, rule) for rule in exclude)


def meets(state: State, rule: Fields) -> bool:
    """Whether a state meets every condition of one NetStateRule (`net.cpp`, StateMeetsRule)."""
    if "phase" in rule and rule["phase"] != state.phase:
        return False
    if "min_level" in rule and state.level < rule["min_level"]:
        return False
    if "max_level" in rule and state.level > rule["max_level"]:
        return False
    stages = set(state.stages)
    return stages.issuperset(rule["stage"]) and stages.isdisjoint(rule["not_stage"])
