"""Gradients of a net's blobs with respect to others, given upstream gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.dims import text
from netc.runtime.dtypes import array_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray


def gradients(
    evaluate: Callable[[Mapping[str, Tensor], Iterable[str]], Mapping[str, Tensor]],
    fed: Mapping[str, Tensor],
    upstream: Mapping[str, ArrayLike],
    wrt: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """The gradients of the sum of `upstream` times its blobs with respect to `wrt`; see `Net.gradients`."""
    for name in wrt:
        if name in fed and fed[name].is_floating_point():
            fed[name].requires_grad_()
    computed = [name for name in wrt if name not in fed]
    with torch.enable_grad():
        blobs = evaluate(fed, dict.fromkeys([*upstream, *computed]))
    leaves = {name: fed[name] if name in fed else blobs[name] for name in wrt}
    for name, leaf in leaves.items():
        if not leaf.is_floating_point():
            raise NetcError(f"`{name}` has no gradient: its values are not floating-point numbers", code="E302")
    starts = {name: _upstream(name, blobs[name], array) for name, array in upstream.items()}
    reached = [name for name in starts if blobs[name].requires_grad]
    sources = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    found: dict[str, Tensor | None] = {}
    if reached and sources:
        found = dict(
            zip(
                sources,
                torch.autograd.grad(
                    [blobs[name] for name in reached],
                    list(sources.values()),
                    [starts[name] for name in reached],
                    allow_unused=True,
                ),
            )
        )
    grads = {name: found.get(name) for name in leaves}
    return {name: array_from(torch.zeros_like(leaves[name]) if g is None else g) for name, g in grads.items()}


def _upstream(name: str, blob: Tensor, array: ArrayLike) -> Tensor:
    """The upstream gradient as a tensor. Raises NetcError E302 if its shape is not that of the blob.

    One number is accepted in any shape for a blob of one element: Caffe2's gradients of scalars have shape [1].
    """
    found = torch.as_tensor(array, dtype=blob.dtype, device=blob.device)
    if found.numel() == blob.numel() == 1:
        return found.reshape(blob.shape)
    if found.shape != blob.shape:
        shapes = f"{text(tuple(found.shape))}, expected {text(tuple(blob.shape))}"
        raise NetcError(f"the upstream gradient of `{name}` has shape {shapes}", code="E302")
    return found
