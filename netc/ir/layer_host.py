"""Interfaces for layers whose code is named by a net file: the object that runs one, and the layer type.

A net file is data: modules that it names are not imported unless a program binds its layers to hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from netc.diagnostics import NetcError
from netc.ir.layer import Layer, Shapes, Weights

if TYPE_CHECKING:
    from torch import Tensor


class LayerHost(Protocol):
    """Runs one instance of a user's class."""

    layer: Any
    """The instance."""

    def shapes(self, bottoms: Shapes, tops: int) -> Shapes:
        """Shapes of the tops."""

    def weights(self) -> Weights:
        """The blobs of the instance with their initial values; call `shapes` first."""

    def run(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], tops: int) -> tuple[Tensor, ...]:
        """Compute the tops, differentiable by autograd."""

    def adopt(self, weights: Sequence[Any]) -> None:
        """Let the blobs of the instance be those of a net, which `weights` stores; call `shapes` first."""

    def forward(self, bottoms: Sequence[Any], tops: Sequence[Any]) -> None:
        """Run the instance on blobs."""

    def backward(self, tops: Sequence[Any], needed: Sequence[bool], bottoms: Sequence[Any]) -> None:
        """Run the instance backward on blobs; `needed` are the bottoms whose gradients are used."""


@runtime_checkable
class HostedCode(Protocol):
    """A layer that a host runs."""

    @property
    def host(self) -> LayerHost:
        """The host."""


@runtime_checkable
class PythonCode(Protocol):
    """A layer implemented by a Python class."""

    @property
    def module_name(self) -> str:
        """Name of the Python module to import."""

    @property
    def class_name(self) -> str:
        """Name of the class in the module."""

    @property
    def param_str(self) -> str:
        """Parameters of the instance, as text."""

    def hosted(self, host: LayerHost) -> Layer:
        """Return the layer that `host` runs."""


@runtime_checkable
class ReplacedCode(Protocol):
    """A layer in place of a well-known Python class, which the user may have."""

    def original(self) -> Layer:
        """Return the layer that runs the class: a `PythonCode`."""


TRUST = "if you trust it, allow it with `--allow-python-layers`, or run it with `netc.pycaffe`"
"""How to run the code of a net file."""


def not_allowed(layer: PythonCode, *notes: str, help: str = TRUST) -> NetcError:
    """E201 for a layer whose code would have to run, which nothing allows."""
    return NetcError(
        f"running class `{layer.class_name}` of Python module `{layer.module_name}` is not allowed",
        code="E201",
        notes=["a `Python` layer runs code that the net file names", *notes],
        help=help,
        field="module",
    )
