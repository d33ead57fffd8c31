"""How a weight starts: Caffe's FillerParameter as a value (`filler.hpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netc.diagnostics import NetcError
from netc.ir.fields import Fields

TYPES = ("constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear")


@dataclass(frozen=True)
class Filler:
    """One of Caffe's seven fillers, with its parameters; the default fills with zeros."""

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
    """`gaussian`: how many inputs of each output are not zero, on average; -1 is all of them."""
    variance_norm: Literal["FAN_IN", "FAN_OUT", "AVERAGE"] = "FAN_IN"
    """What `xavier` and `msra` divide by."""

    @staticmethod
    def read(fields: Fields, name: str) -> Filler:
        """The filler in message field `name`; Caffe's default where it is not set.

        Raises NetcError E103 for a type that Caffe does not have.
        """
        values = fields.message(name)
        filler = Filler(**{key: values.get(key, getattr(_DEFAULT, key)) for key in Filler.__dataclass_fields__})
        if filler.type not in TYPES:
            raise NetcError(
                f"unknown filler type `{filler.type}`",
                code="E103",
                span=values.span("type"),
                field=name,
                help=f"Caffe's fillers are {', '.join(f'`{known}`' for known in TYPES)}",
            )
        return filler


_DEFAULT = Filler()
