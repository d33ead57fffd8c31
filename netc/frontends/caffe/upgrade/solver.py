"""Replaces the enum `solver_type` of a solver by the name `type` (UpgradeSolverType).

Other fields of the first version (`train_net`, `test_net`, `solver_mode: 1`) are still valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade.edits import respelled, word
from netc.text import Scalar

if TYPE_CHECKING:
    from netc.diagnostics import Span
    from netc.frontends.caffe.upgrade.findings import Findings
    from netc.text import Message

TYPES = {
    "SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}  # fmt: skip
"""Values of SolverParameter.SolverType in order of their numbers, with the names of the types."""
BY_NUMBER = {str(number): name for number, name in enumerate(TYPES.values())}

_LAYERS = frozenset(("layer", "layers"))
_SETTINGS = frozenset(
    "net train_net test_net net_param train_net_param base_lr lr_policy max_iter solver_type solver_mode test_iter "
    "test_interval stepsize stepvalue snapshot snapshot_prefix display momentum".split()
)


def is_solver_tree(root: Message) -> bool:
    """Whether a file is a solver: it has fields that only solvers have, or the type of one, and no layers."""
    names = {field.name for field in root.fields}
    types = {value.raw[1:-1] for value in root.get("type") if isinstance(value, Scalar)}
    return not (names.isdisjoint(_SETTINGS) and types.isdisjoint(TYPES.values())) and names.isdisjoint(_LAYERS)


def upgrade_settings(root: Message, findings: Findings) -> None:
    """Replace `solver_type` by `type`; an unknown type is not changed. Reports E030, as Caffe does, if both are set."""
    for field in root.named("solver_type"):
        types = root.named("type")
        if types:
            _both(field.name_span, types[0].name_span, findings)
            return
        kind = word(field.values[0]) if len(field.values) == 1 else None
        name = TYPES.get(kind or "") or BY_NUMBER.get(kind or "")
        if name is not None:
            findings.note("W036", f'`solver_type` is an old field: read as `type: "{name}"`', field.name_span)
            field.name = "type"
            field.values[0] = respelled(field.values[0], f'"{name}"')


def _both(old: Span | None, new: Span | None, findings: Findings) -> None:
    notes = (f"`type` is on line {new.line}",) if new else ()
    findings.note("E030", "a solver has either `type` or `solver_type`, not both", old, notes, "remove `solver_type`")
