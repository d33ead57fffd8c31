"""Initial values of a weight: Caffe's FillerParameter as a value (`filler.hpp`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, differ, text
from netc.ir.fields import Fields

TYPES = ("constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear", "diagonal", "file")
OWN_TYPES = ("bilinear_diagonal",)
"""netc's own: the bilinear kernel from each channel to itself, zeros to others (FCN sets such weights by a program)."""


@dataclass(frozen=True)
class Filler:
    """One of Caffe's seven fillers, a fork's `diagonal` or `file`, or netc's own; the default fills with zeros."""

    type: str = "constant"
    value: float = 0.0
    """The constant."""
    min: float = 0.0
    max: float = 1.0
    """Bounds of `uniform`."""
    mean: float = 0.0
    std: float = 1.0
    """Moments of `gaussian`."""
    sparse: int = -1
    """`gaussian`: average number of nonzero inputs of each output; -1 means all."""
    variance_norm: Literal["FAN_IN", "FAN_OUT", "AVERAGE"] = "FAN_IN"
    """The divisor of `xavier` and `msra`."""
    negative_slope: float = 0.0
    """`msra`: the slope of the following ReLU; the variance is divided by 1 + its square (Chenglong Chen's Caffe)."""
    diag_val: tuple[float, ...] = ()
    """`diagonal`: the sum of each kernel of an input and the output of the same number; 1 for those not listed."""
    file: str = ""
    """`file`: path of a text file with a number per element (SpatialTransformerLayer's Caffe)."""

    @staticmethod
    def read(fields: Fields, name: str) -> Filler:
        """Return the filler in message field `name`; Caffe's default if it is not set.

        Raises NetcError E103 for a type that Caffe does not have, and for numbers that its generators reject.
        """
        values = fields.message(name)
        given = {key: values.get(key, getattr(_DEFAULT, key)) for key in Filler.__dataclass_fields__}
        filler = Filler(**{**given, "diag_val": tuple(given["diag_val"])})
        if filler.type not in TYPES + OWN_TYPES:
            raise NetcError(
                f"unknown filler type `{filler.type}`",
                code="E103",
                span=values.span("type"),
                field=name,
                help=f"the types are {', '.join(f'`{known}`' for known in TYPES)}",
            )
        for key, problem in filler._problems():
            raise NetcError(problem, code="E103", span=values.span(key), field=name)
        return filler

    def _problems(self) -> Iterator[tuple[str, str]]:
        """Fields whose numbers `filler.hpp` and `math_functions.cpp` reject, each with a message."""
        if self.type == "gaussian" and not self.std > 0:
            yield "std", f"`std` is {self.std:g}: it must be positive"
        if self.type == "uniform" and not self.min <= self.max:
            yield "min", f"`min` {self.min:g} is greater than `max` {self.max:g}"
        if self.sparse < -1 or (self.sparse >= 0 and self.type != "gaussian"):
            only = "only `gaussian` supports it" if self.sparse >= 0 else "it must be at least 0, or -1 for all"
            yield "sparse", f"`sparse` is {self.sparse}: {only}"
        if self.type == "file" and not self.file:
            yield "type", "filler `file` requires `file`, the path of a text file"

    def check_shape(self, shape: Shape, field: str | None = None) -> None:
        """Raises NetcError E105 for a blob that the filler cannot fill; `field` is the field of the filler."""
        if self.type.startswith("bilinear") and (len(shape) != 4 or differ(shape[2], shape[3])):
            message = f"filler `{self.type}` expects a blob of 4 axes with square kernels, got {text(shape)}"
            raise NetcError(message, code="E105", field=field)


_DEFAULT = Filler()
