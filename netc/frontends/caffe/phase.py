"""Which layers of a file belong to the net of a state: include and exclude rules (`net.cpp`, FilterNet)."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, islice
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.frontends.definition import PHASES
from netc.ir.graph import Phase, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.fields import Fields

MOST_STATES = 64
"""Maximum number of states of a file that are enumerated."""
FEW_STAGES = 3
"""Up to this number of stages, all combinations are enumerated; otherwise each stage alone and all together."""


def included(layer: Fields, state: State) -> bool:
    """Whether the layer is in the net of `state`.

    Raises NetcError E013 for a layer with both `include` and `exclude` rules.
    """
    include, exclude = layer["include"], layer["exclude"]
    if include and exclude:
        raise NetcError(
            "a layer has either `include` or `exclude` rules, not both", code="E013", span=layer.span("exclude")
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


def merged(phase: Phase, *states: Fields) -> State:
    """Merge NetState messages: the last level wins, stages are concatenated (`solver.cpp`, InitTrainNet).

    >>> from netc.ir.fields import Fields
    >>> merged("TEST", Fields({"stage": ["a"]}), Fields({"level": 2, "stage": ["b"]}))
    State(phase='TEST', level=2, stages=('a', 'b'))
    """
    level, stages = 0, dict[str, None]()
    for state in states:
        phase = state.get("phase", phase)
        level = state.get("level", level)
        stages.update(dict.fromkeys(stage for stage in state.get("stage", ()) if stage))
    return State(phase, level, tuple(stages))


def rules(net: Fields) -> Iterator[Fields]:
    """Yield every include and exclude rule of a net."""
    for layer in net["layer"]:
        yield from layer.get("include", ())
        yield from layer.get("exclude", ())


def reserved(net: Fields) -> Iterator[tuple[Phase, Fields]]:
    """Yield each rule that names a phase, with the phase that it reserves its layer for."""
    for layer in net["layer"]:
        for field, ordered in (("include", PHASES), ("exclude", PHASES[::-1])):
            for rule in layer.get(field, ()):
                named = dict(rule.values.items()).get("phase")  # does not raise for an unknown name
                if named in PHASES:
                    yield ordered[PHASES.index(named)], rule


def states(net: Fields, base: State) -> Iterator[State]:
    """Yield every state that the rules of a net distinguish, starting with `base`: phases, then levels and stages.

    Stages are those that rules name, levels those at which a bound of a rule changes its result. At most MOST_STATES.
    """
    return islice(_states(net, base), MOST_STATES)


def _states(net: Fields, base: State) -> Iterator[State]:
    found, levels = dict[str, None](), {base.level: None}
    for rule in rules(net):
        found.update(dict.fromkeys((*rule.get("stage", ()), *rule.get("not_stage", ()))))
        levels.update(dict.fromkeys(rule[name] + step for name, step in _BOUNDS if name in rule))
    stages = [stage for stage in found if stage not in base.stages]
    sizes = range(len(stages) + 1) if len(stages) <= FEW_STAGES else (0, 1, len(stages))
    for size in sizes:
        for chosen in combinations(stages, size):
            for level in levels:
                for phase in PHASES:
                    yield replace(base, phase=phase, level=level, stages=(*base.stages, *chosen))


_BOUNDS = (("min_level", 0), ("max_level", 1))
"""Offset from a bound to the level at which the rule changes: the lowest that meets it, the first that does not."""
