"""Checks a solver's settings before the first iteration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError, Report, counted, did_you_mean
from netc.training.average_precision import VERSIONS
from netc.training.solver.lr_policy import POLICIES, jump_after_warm_up
from netc.training.solver.netc_options import check_options
from netc.training.solver.snapshot_prefix import prefix_problem
from netc.training.solver.update_rules._registry import update_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.training.solver.parameters import SolverParameters

NET_FIELDS = ("net", "net_param", "train_net", "train_net_param")
AT_LEAST = {
    "base_lr": 0,
    "gamma": 0,
    "weight_decay": 0,
    "max_iter": 0,
    "display": 0,
    "snapshot": 0,
    "test_interval": 0,
    "iter_size": 1,
    "average_loss": 1,
    "warmup_iter": 0,
    "warmup_start_lr": 0,
    "rampup_interval": 0,
    "rampup_lr": 0,
    "min_lr": 0,
    "larc_eta": 0,
    "local_gw_ratio": 0,
    "momentum_power": 0,
}
"""The smallest valid values."""
EVAL_TYPES = ("classification", "detection")
FRACTIONS = ("momentum", "max_momentum", "momentum2", "rms_decay")
"""Decay factors: at least 0, and less than 1."""


def check(settings: SolverParameters, report: Report) -> None:
    """Report all errors in the settings: E601 nets, E602 policy, E603 values, E604 type."""
    _nets(settings, report)
    _tests(settings, report)
    _policy(settings, report)
    _values(settings, report)
    _type(settings, report)
    _forks(settings, report)
    _evaluation(settings, report)
    report.extend(check_options(settings.options, settings.netc_param, len(settings.test_iter)))


def _evaluation(settings: SolverParameters, report: Report) -> None:
    for name, valid in (("eval_type", EVAL_TYPES), ("ap_version", tuple(VERSIONS))):
        value = getattr(settings, name)
        if value not in valid:
            found = f"unknown {name} `{value}`"
            report.error("E603", found, settings.fields.span(name), help=f"use one of {', '.join(valid)}")


def warnings_of(settings: SolverParameters) -> Iterator[Diagnostic]:
    """Yield the warnings about valid settings: W603 for a rate that jumps when the warm-up ends."""
    if (rate := jump_after_warm_up(settings)) is None:
        return
    field = "warmup_iter" if settings.warmup_iter else "rampup_interval"
    end = getattr(settings, field)
    jump = f"the learning rate jumps from {settings.base_lr:g} to {rate:g} in iteration {end}, when the warm-up ends"
    counts = f'`lr_policy: "{settings.lr_policy}"` counts its iterations from 0, as in the fork that has `{field}`'
    help = "set `netc_param { policy_after_warmup: true }` to let the policy start when the warm-up ends"
    yield Diagnostic("W603", jump, settings.fields.span(field), (counts,), help)


def check_prefix(settings: SolverParameters) -> None:
    """Raise NetcError E605 if snapshots cannot be written: before the first iteration, not after the last."""
    problem = prefix_problem(settings.prefix, settings.max_iter, settings.fields.span("snapshot_prefix"))
    if problem:
        raise NetcError([problem])


def _nets(settings: SolverParameters, report: Report) -> None:
    set_fields = [name for name in NET_FIELDS if getattr(settings, name)]
    if not set_fields:
        report.error(
            "E601",
            "the solver does not specify a train net",
            settings.fields.span(),
            help=f"set one of {', '.join(f'`{name}`' for name in NET_FIELDS)}",
        )
    elif len(set_fields) > 1:
        names = " and ".join(f"`{name}`" for name in set_fields)
        report.error(
            "E601",
            f"the solver specifies {counted(len(set_fields), 'train net')}: {names}",
            settings.fields.span(set_fields[1]),
        )


def _tests(settings: SolverParameters, report: Report) -> None:
    own, batches = len(settings.test_net) + len(settings.test_net_param), len(settings.test_iter)
    generic = bool(settings.net or settings.net_param)
    place = settings.fields.span("test_iter") or settings.fields.span("test_net")
    if batches < own or (batches > own and not generic):
        values, nets = counted(batches, "value"), counted(own, "test net")
        report.error("E601", f"`test_iter` has {values}, for {nets}", place)
    if settings.test_state and len(settings.test_state) != batches:
        found = f"{counted(len(settings.test_state), 'value')} of `test_state` for {counted(batches, 'test net')}"
        report.error("E601", found, settings.fields.span("test_state"))
    for index, count in enumerate(settings.test_iter):
        if count < 0:
            found = f"`test_iter` is {count}: it must be 0 or more"
            report.error("E603", found, settings.fields.span("test_iter", index))
    if any(settings.test_iter) and settings.test_interval == 0:
        help = "set `test_interval`, or remove `test_iter`"
        report.error("E601", "`test_iter` requires `test_interval`", place, help=help)


def _policy(settings: SolverParameters, report: Report) -> None:
    policy = POLICIES.get(settings.lr_policy)
    span = settings.fields.span("lr_policy") or settings.fields.span()
    if policy is None:
        name = settings.lr_policy
        found = f"unknown learning rate policy `{name}`" if name else "`lr_policy` is missing"
        known = f"the policies are {', '.join(f'`{policy}`' for policy in POLICIES)}"
        report.error("E602", found, span, help=did_you_mean(name, POLICIES) or known)
        return
    for name in policy.required:
        if not getattr(settings, name) and name not in settings.fields:
            report.error("E602", f"learning rate policy `{settings.lr_policy}` requires `{name}`", span)
    for name in policy.expected:
        if name not in settings.fields and not getattr(settings, name):
            found = f"learning rate policy `{settings.lr_policy}` uses `{name}`, which is not set"
            report.warning("W602", found, span, ["Caffe never steps" if name == "stepvalue" else "Caffe reads 0"])
    if settings.lr_policy == "step" and settings.stepsize <= 0 and "stepsize" in settings.fields:
        found = f"`stepsize` is {settings.stepsize}: it must be positive"
        report.error("E603", found, settings.fields.span("stepsize"))


def _values(settings: SolverParameters, report: Report) -> None:
    for name, low in AT_LEAST.items():
        value = getattr(settings, name)
        may_be_negative = name == "gamma" and settings.lr_policy == "sigmoid"  # its rate increases if gamma is positive
        if not ((value >= low or may_be_negative) and math.isfinite(value)):
            report.error("E603", f"`{name}` is {value:g}: it must be {low} or more", settings.fields.span(name))
    for name in FRACTIONS:
        value = getattr(settings, name)
        if not 0 <= value < 1:
            found = f"`{name}` is {value:g}: it must be 0 or more and less than 1"
            report.error("E603", found, settings.fields.span(name))
    if settings.regularization_type not in ("L1", "L2"):
        found = f"unknown regularization type `{settings.regularization_type}`"
        report.error("E603", found, settings.fields.span("regularization_type"), help="use `L1` or `L2`")


def _type(settings: SolverParameters, report: Report) -> None:
    name, rules = settings.type, update_rules()
    if name not in rules:
        known = f"the types are {', '.join(f'`{known}`' for known in rules)}"
        span = settings.fields.span("type")
        report.error("E604", f"unknown solver type `{name}`", span, help=did_you_mean(name, rules) or known)
        return
    for field in rules[name].rejected:
        if value := getattr(settings, field):
            found = f"solver type `{name}` does not support `{field}`, which is {value:g}"
            report.error("E604", found, settings.fields.span(field), help=f"remove `{field}`")
    changed = {"larc": settings.larc, "local_lr_auto": settings.local_lr_auto}
    changed["momentum_policy"] = settings.momentum_policy != "fixed"
    for field in (field for field, is_set in changed.items() if is_set and not rules[name].supports_larc):
        supporting = " and ".join(f"`{other}`" for other, rule in rules.items() if rule.supports_larc)
        found = f"solver type `{name}` does not support `{field}`"
        report.error("E604", found, settings.fields.span(field), help=f"use {supporting}")


def _forks(settings: SolverParameters, report: Report) -> None:
    """Check combinations of fields of forks."""
    stages, ends = len(settings.stagelr), len(settings.stageiter)
    if settings.lr_policy == "multifixed" and stages and ends and stages != ends:
        found = f"{counted(stages, 'value')} of `stagelr`, but {ends} of `stageiter`"
        report.error("E602", found, settings.fields.span("stageiter"))
    if settings.warmup_iter and settings.rampup_interval:
        found = "`warmup_iter` and `rampup_interval` cannot be combined"
        report.error("E602", found, settings.fields.span("rampup_interval"))
    warm_up = max(settings.warmup_iter, settings.rampup_interval)
    if settings.options.policy_after_warmup and 0 < settings.max_iter <= warm_up:
        found = f"`policy_after_warmup` with a warm-up of {warm_up} iterations, but `max_iter` is {settings.max_iter}"
        report.error("E602", found, settings.netc_param.span("policy_after_warmup"))
    if settings.momentum_policy not in ("fixed", "poly", "opt"):
        found = f"unknown `momentum_policy` `{settings.momentum_policy}`"
        report.error("E603", found, settings.fields.span("momentum_policy"), help="use `fixed`, `poly` or `opt`")
    if settings.momentum_policy == "poly" and not settings.max_iter:
        found = "momentum policy `poly` requires `max_iter`"
        report.error("E602", found, settings.fields.span("momentum_policy"))
    if settings.larc_policy not in ("scale", "clip"):
        found = f"unknown `larc_policy` `{settings.larc_policy}`"
        report.error("E603", found, settings.fields.span("larc_policy"), help="use `scale` or `clip`")
