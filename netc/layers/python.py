"""Layers written in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

_CAFFE_NAMES = {"module_name": "module", "class_name": "layer"}


@register("Python", field="python_param")
@dataclass(frozen=True)
class Python(Layer):
    """Runs class `class_name` of Python module `module_name`, which alone knows its shapes and blobs.

    A net file is data: nothing of it is imported or run here. Whoever allows it (the Python interface, or the
    command line on demand) puts a layer that runs it in the place of this one (`netc.pycaffe.python_layer`).

    Shapes: any bottoms to any tops, all unknown before they run.

    >>> Python(module_name="my_layers", class_name="Shift").infer(((2, 3),), 2)
    (None, None)

    Reference: `python_layer.hpp`.
    """

    module_name: str = ""
    """The module's name, as Python imports it."""
    class_name: str = ""
    """The class in it, with `setup`, `reshape`, `forward` and `backward`."""
    param_str: str = ""
    """Any text; the layer finds it as `self.param_str`."""
    share_in_parallel: bool = False
    """One instance for all solvers of a parallel training; without effect here."""

    caffe_fields: ClassVar[CaffeFields] = {name: (f"python_param.{field}",) for name, field in _CAFFE_NAMES.items()}
    bottom_count: ClassVar[Count] = Count(0, None)
    top_count: ClassVar[Count] = Count(0, None)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Read `python_param`. Raises NetcError E101 without a module or a class."""
        p = layer.message("python_param")
        for name in ("module", "layer"):
            if not p.get(name, ""):
                fail(f"`{name}` is missing", code="E101", field=name)
        return cls(p["module"], p["layer"], p["param_str"], p["share_in_parallel"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message: `module` and `layer` are the names of the module and of the class."""
        values = super().to_caffe()
        return {_CAFFE_NAMES.get(name, name): value for name, value in values.items()}

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Nothing is known before the layer runs."""
        return (None,) * tops

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E201: nobody allowed it."""
        fail(
            f"running class `{self.class_name}` of Python module `{self.module_name}` is not allowed",
            "a `Python` layer runs code that the net file names",
            code="E201",
            field="module",
            help="if you trust it, allow it with `--allow-python-layers`, or run it with `netc.pycaffe`",
        )
