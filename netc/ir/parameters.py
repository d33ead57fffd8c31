"""Parameters: the learned and accumulated blobs of a graph, by name.

A front end records the settings of each blob (`ParamSpec`); shape inference determines the shapes and builds the table.
Two nodes that refer to one parameter share it. A weights file and a filler fill the same entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netc.ir.dims import Shape
from netc.ir.dtypes import DType
from netc.ir.filler import Filler

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """The settings of one blob of a layer in a file: Caffe's message of the same name."""

    name: str = ""
    """Blobs with the same name are one parameter; empty for a blob that is not shared."""
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    permissive: bool = False
    """Whether sharing requires only equal numbers of elements, not equal shapes (share_mode: PERMISSIVE)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One entry of a graph's table of parameters."""

    name: str
    """Unique in the graph: the name in the file, else the node's key and the blob's name (`conv1.weight`)."""
    shape: Shape
    """In Caffe's order of axes; that of the first node that refers to it."""
    dtype: DType = "float32"
    filler: Filler = field(default_factory=Filler)
    """Provides the initial values if there is no array."""
    array: NDArray[Any] | None = field(default=None, compare=False, repr=False)
    """Its values, of this shape; they replace those of the filler."""
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    learnable: bool = True
    """False for a blob that no solver changes (BatchNorm's statistics)."""

    @property
    def rate_factor(self) -> float:
        """The factor of the solver's learning rate: `lr_mult`, or 0 if no solver changes the parameter.

        It is 0 for BatchNorm's statistics regardless of the file (`batch_norm_layer.cpp`, LayerSetUp).
        """
        return self.lr_mult if self.learnable else 0.0
