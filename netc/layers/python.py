"""Layers written in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import Shape, known
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Constant, Cost, Count, DataLayer, Layer, Mode, Shapes, Weights, fail
from netc.ir.layer_host import LayerHost, not_allowed
from netc.ir.traits import FedBy, Role
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

_CAFFE_NAMES = {"module_name": "module", "class_name": "layer"}


@register("Python", field="python_param")
@dataclass(frozen=True)
class Python(Layer):
    """Runs class `class_name` of Python module `module_name`, which determines its shapes and blobs.

    A net file is data: this layer neither imports nor runs what the file names. The Python interface, and the command
    line with `--allow-python-layers`, replace it with a HostedPython (`netc.runtime.python_host`). Without bottoms it
    is a data layer, a PythonData: its tops become inputs of a net that does not run the code.

    Some well-known classes are replaced by layers of netc (`netc/layers/_python_replacement.py`), which need no code;
    `--dialect bvlc` disables this.

    Shapes: any bottoms to any tops, whose shapes are unknown before the layer runs.

    >>> Python(module_name="my_layers", class_name="Shift").infer(((2, 3),), 2)
    (None, None)

    Reference: `python_layer.hpp`.
    """

    module_name: str = ""
    """Name of the Python module to import."""
    class_name: str = ""
    """Name of the class in the module, with `setup`, `reshape`, `forward` and `backward`."""
    param_str: str = ""
    """Text available to the object as `self.param_str`."""
    share_in_parallel: bool = False
    """Whether all solvers of a parallel training share one instance; no effect in netc."""

    caffe_fields: ClassVar[CaffeFields] = {name: (f"python_param.{own}",) for name, own in _CAFFE_NAMES.items()}
    bottom_count: ClassVar[Count] = Count(0, None)
    top_count: ClassVar[Count] = Count(0, None)
    role: ClassVar[Role] = "opaque"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `python_param`; a PythonData if there is no bottom.

        Raises NetcError E101 if the module or the class is missing.
        """
        p = layer.message("python_param")
        for name in ("module", "layer"):
            if not p.get(name, ""):
                fail(f"`{name}` is missing", code="E101", field=name)
        own: Any = cls if layer.get("bottom", ()) else PythonData
        return own(p["module"], p["layer"], p["param_str"], p["share_in_parallel"])  # type: ignore[no-any-return]

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message: `module` and `layer` are the names of the module and of the class."""
        values = super().to_caffe()
        return {_CAFFE_NAMES.get(name, name): value for name, value in values.items()}

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Unknown before the layer runs."""
        return (None,) * tops

    def hosted(self, host: LayerHost) -> HostedPython:
        """Return the layer that `host` runs."""
        return HostedPython(self.module_name, self.class_name, self.param_str, self.share_in_parallel, host=host)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E201: running the code is not allowed."""
        raise not_allowed(self)


@dataclass(frozen=True)
class PythonData(Python, DataLayer):
    """A Python layer without bottoms, which produces data: what is fed to its tops replaces the code."""

    bottom_count: ClassVar[Count] = Count(0)
    fed_by: ClassVar[FedBy] = "python"

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Unknown before the layer runs."""
        return (None,) * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the tops are produced outside the net."""
        return Cost()


@dataclass(frozen=True)
class HostedPython(Python):
    """A Python layer with the host that runs it and provides its shapes and weights."""

    host: LayerHost = field(kw_only=True, repr=False)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """The shapes of the tops after `reshape`; unknown if an extent of a bottom is unknown."""
        if not all(known(extent) for shape in bottoms for extent in shape):
            return (None,) * tops
        return self.host.shapes(bottoms, tops)

    def weights(self, bottoms: Shapes) -> Weights:
        """The blobs that `setup` added."""
        return self.host.weights()

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """Without bottoms, a number whose device is that of the tops."""
        return () if bottoms else (Constant("place", values=(0.0,)),)

    def to_caffe(self) -> dict[str, Any]:
        """The parameters as in the file."""
        return {name: value for name, value in super().to_caffe().items() if name != "host"}

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Runs the object's `forward`."""
        tops = self.host.run(bottoms, weights, mode.tops)
        place = mode.constants.get("place")
        return tops if place is None else tuple(top.to(place.device, place.dtype) for top in tops)
