"""Caffe2's training nets: forward operators, gradient operators, and updates, in one NetDef.

`AddGradientOperators` appends to the forward operators of a loss

    a ConstantFill `<loss>_autogen_grad`       the gradient of the loss, 1
    an operator `<Type>Gradient` for each      `<blob>_grad` for each blob with a gradient
    Sum                                        where several operators read a blob: of `_<blob>_grad_autosplit_<i>`

and optimizers append operators that read the gradients. Here the gradients are computed by autograd: gradient operators
are left out, and each `<blob>_grad` that another operator reads is an input of the net. Reference: `python/core.py`,
IR and GradientRegistry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, did_you_mean
from netc.frontends.definition import OwnGradients

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from netc.frontends.caffe2.origin import OperatorOrigin
    from netc.frontends.caffe2.reading import NetContent

START = "_autogen_grad"
SUFFIX = "_grad"
PART = "_autosplit_"


@dataclass(frozen=True)
class TrainingNet:
    """A NetDef without its gradient operators."""

    content: NetContent
    """The other operators; gradients that they read are external inputs."""
    gradients: OwnGradients | None = None
    """What the gradient operators compute; None for a net without any."""
    problems: tuple[tuple[Diagnostic, OperatorOrigin], ...] = ()
    """Gradients that an operator reads, but whose names do not say of which blob they are."""

    def diagnostics(self) -> Iterator[Diagnostic]:
        """E011 for each gradient of an unknown blob."""
        return (origin.placed(found, ", ".join(origin.bottoms)) for found, origin in self.problems)


def split(content: NetContent) -> TrainingNet:
    """Find the gradient operators of a net; without any, the content stays as it is."""
    starts = {origin.tops[0]: origin for origin in content.operators if _is_start(origin)}
    if not starts:
        return TrainingNet(content)
    kept, written = _divided(content.operators, starts)
    blobs = {name for origin in kept for name in (*origin.bottoms, *origin.tops)} | set(content.inputs)
    names = {name: name.removesuffix(SUFFIX) for name in written if name.endswith(SUFFIX) and name not in starts}
    gradients = {name: blob for name, blob in names.items() if blob in blobs}
    readers = _first_readers(kept, written)
    problems = []
    for name, (origin, index) in readers.items():
        if name not in gradients and name not in starts:
            problems.append((_unknown(name, origin, index, blobs), origin))
    read = tuple(name for name in readers if name in gradients)
    left = {*kept, *(origin for name, origin in starts.items() if name in readers)}
    operators = [origin for origin in content.operators if origin in left]
    inputs = (*content.inputs, *(name for name in read if name not in content.inputs)) if content.inputs else ()
    return TrainingNet(
        replace(content, operators=operators, inputs=inputs),
        OwnGradients(
            {name.removesuffix(START): origin.get("value", 0.0) for name, origin in starts.items()}, gradients, read
        ),
        tuple(problems),
    )


def _is_start(origin: OperatorOrigin) -> bool:
    """Whether an operator creates the gradient of a loss."""
    names = origin.operator.outputs
    return origin.type == "ConstantFill" and len(names) == 1 and names[0] == f"{(*origin.bottoms, '')[0]}{START}"


def _divided(
    operators: Sequence[OperatorOrigin], starts: Mapping[str, OperatorOrigin]
) -> tuple[list[OperatorOrigin], dict[str, None]]:
    """The operators that compute no gradients, and the blobs that the others write."""
    last = max((o.index for o in operators if _is_gradient(o)), default=-1)
    kept, written = [], dict.fromkeys(starts)
    for origin in operators:
        if origin.tops and origin.tops[0] in starts:
            continue
        between = origin.index < last or any(PART in name for name in origin.bottoms)
        adds = between and bool(origin.bottoms) and all(name in written for name in origin.bottoms)
        if _is_gradient(origin) or adds:
            written.update(dict.fromkeys(origin.tops))
        else:
            kept.append(origin)
    return kept, written


def _is_gradient(origin: OperatorOrigin) -> bool:
    return origin.operator.is_gradient or origin.type.endswith("Gradient")


def _first_readers(
    kept: Sequence[OperatorOrigin], written: Mapping[str, None]
) -> dict[str, tuple[OperatorOrigin, int]]:
    """Who reads each blob of gradient operators first, at which input; without blobs that others write before."""
    found: dict[str, tuple[OperatorOrigin, int]] = {}
    overwritten: set[str] = set()
    for origin in kept:
        for index, name in enumerate(origin.bottoms):
            if name in written and name not in overwritten:
                found.setdefault(name, (origin, index))
        overwritten.update(origin.tops)
    return found


def _unknown(name: str, origin: OperatorOrigin, index: int, blobs: set[str]) -> Diagnostic:
    return Diagnostic(
        "E011",
        f"gradient operators compute `{name}`, but its name does not say of which blob it is the gradient",
        origin.span("input", index),
        ("autograd replaces gradient operators: it computes `<blob>_grad`",),
        did_you_mean(name.removesuffix(SUFFIX), blobs),
    )
