"""The contract of a layer type: everything the project knows of it stands in one frozen dataclass.

A subclass declares its parameters as dataclass fields, named as in Caffe's schema and resolved
(`kernel_h` and `kernel_size` become one `kernel`), and overrides what differs from the defaults here.
Torch is imported inside `module` and `forward` only: `netc check` must not pay for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from netc.diagnostics import NetcError, counted
from netc.ir.dims import Shape
from netc.ir.dtypes import DType
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.traits import Traits

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

Shapes = tuple[Shape, ...]
DTypes = tuple[DType, ...]
CaffeFields = Mapping[str, tuple[str, ...]]
"""Prototxt fields of each parameter, as paths within a `layer` message."""


@dataclass(frozen=True)
class Count:
    """How many bottoms or tops a layer takes.

    >>> Count(1, 2).text("bottom"), Count(2).text("bottom"), Count(1, None).text("top")
    ('1 or 2 bottoms', '2 bottoms', 'at least 1 top')
    """

    low: int
    high: int | None = -1
    """-1 is the same as `low`, None is any number."""

    def __contains__(self, count: int) -> bool:
        high = self.low if self.high == -1 else self.high
        return count >= self.low and (high is None or count <= high)

    def most(self, count: int) -> int:
        """The most it allows; of any number, `count`.

        >>> Count(1, 2).most(5), Count(2).most(5), Count(1, None).most(5)
        (2, 2, 5)
        """
        return count if self.high is None else self.low if self.high == -1 else self.high

    def text(self, noun: str) -> str:
        """The rule in words."""
        high = self.low if self.high == -1 else self.high
        if high is None:
            return f"at least {counted(self.low, noun)}"
        if high == self.low:
            return counted(high, noun)
        return f"{self.low} {'or' if high == self.low + 1 else 'to'} {high} {noun}s"


@dataclass(frozen=True)
class Weight:
    """One blob of a layer, in .caffemodel order."""

    name: str
    """The name the torch module knows it by: `weight`, `bias`, `running_mean`, ..."""
    shape: Shape
    """Caffe's shape."""
    filler: Filler = field(default_factory=Filler)
    torch_shape: Shape | None = None
    """The module's shape of the same elements in the same order, where it differs."""
    dtype: DType = "float32"
    learnable: bool = True
    """False for a blob that no solver changes (BatchNorm's statistics): a buffer in torch."""
    array: NDArray[Any] | None = field(default=None, compare=False, repr=False)
    """Its first values, in the place of what the filler gives: those that a Python layer's `setup` sets."""

    @property
    def module_shape(self) -> Shape:
        """The shape of the torch tensor."""
        return self.shape if self.torch_shape is None else self.torch_shape


Weights = tuple[Weight, ...]


@dataclass(frozen=True)
class Cost:
    """Work of one forward pass."""

    macs: int = 0
    """Multiply-adds of convolutions and inner products: the number papers print as FLOPs."""
    operations: int = 0
    """Other arithmetic: comparisons, additions, exponentials, each counted one."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.operations + other.operations)


@dataclass(frozen=True)
class Constant:
    """A tensor that a layer computes with and nothing changes: a buffer of its module, not one of its blobs."""

    name: str
    file: str = ""
    """The .binaryproto file that holds it, as the net file names it; empty where `values` holds it."""
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class StateEntry:
    """A tensor that a layer keeps from one pass to the next; the runtime owns it."""

    name: str
    shape: Shape
    dtype: DType = "float32"
    by_mode: bool = True
    """Training and testing have one each."""


@dataclass
class Mode:
    """What a layer's `forward` may ask of the moment; made and owned by the runtime."""

    training: bool
    """As nn.Module.training: dropout drops, BatchNorm gathers statistics."""
    tops: int
    """How many tops the net wants of this layer."""
    state: dict[str, Tensor] = field(default_factory=dict)
    """What the layer kept in earlier passes. Use `kept` and `keep`."""
    check: Callable[[torch.Tensor, torch.Tensor, str], None] | None = None
    """`check(values, bad, "label")`: values where `bad` is true are out of range. Use `check_range`."""
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    """The layer's constants, by name."""
    all_sum: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Sums a tensor over all processes of a training, differentiably; None where each normalizes by its own batch."""

    def kept(self, name: str, by_mode: bool = True) -> Tensor | None:
        """What an entry of the layer's state holds, None before the first `keep`; `by_mode` as the entry says."""
        return self.state.get(self._slot(name, by_mode))

    def keep(self, name: str, tensor: Tensor, by_mode: bool = True) -> None:
        """Let an entry of the layer's state hold a tensor for later passes."""
        self.state[self._slot(name, by_mode)] = tensor

    def _slot(self, name: str, by_mode: bool) -> str:
        if not by_mode:
            return name
        return f"{name}.train" if self.training else f"{name}.test"

    def check_range(self, values: Tensor, low: int, high: int, what: str, ignore: int | None = None) -> None:
        """Report values not in low <= value < high, NaN too: at once on a CPU, at the next synchronisation on a GPU.

        Raises NetcError E301, to which the runtime adds the layer. `ignore` is a value that is always right.
        """
        if self.check is None:
            return
        bad = ~((values >= low) & (values < high))
        if ignore is not None:
            bad = bad & (values != ignore)
        self.check(
            values, bad, f"{what} outside 0 to {high - 1}" if low == 0 else f"{what} outside {low} to {high - 1}"
        )


@dataclass(frozen=True)
class Layer(Traits):
    """A layer type with its parameters: a value, without name, bottoms or tops."""

    type: ClassVar[str] = ""
    """Caffe's `type`, set by `register`."""
    param_field: ClassVar[str | None] = None
    """The field of LayerParameter that holds the parameters, set by `register`."""
    v1: ClassVar[str | None] = None
    """The name in V1LayerParameter.LayerType, None where there is none; set by `register`."""
    dialect: ClassVar[str] = ""
    """The fork of Caffe whose meaning of `type` this is, empty for BVLC's; set by `register`."""

    caffe_fields: ClassVar[CaffeFields] = {}
    """The fields of each parameter that is not read from the field of its own name in `param_field`."""

    bottom_count: ClassVar[Count] = Count(1)
    top_count: ClassVar[Count] = Count(1)
    same_count: ClassVar[bool] = False
    """As many tops as bottoms (layers that treat each bottom alike with one set of weights)."""

    # ------------------------------------------------------------------ from and to files

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Make the layer from a LayerParameter's fields.

        The default takes, for each dataclass field, the value of the same name in `param_field`'s
        message. Raises NetcError; name the culprit with `field=`, the front end knows where it stands.
        """
        parameters = layer.message(cls.param_field) if cls.param_field else layer
        return cls(**{f.name: _plain(parameters, f) for f in dataclasses.fields(cls)})

    def to_caffe(self) -> dict[str, Any]:
        """The layer's parameter message as plain values, the inverse of `from_caffe`; defaults left out."""
        changed = ((f, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {f.name: value for f, value in changed if value != _default(f)}

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """The prototxt fields that a parameter is read from, as paths within a `layer` message."""
        return cls.caffe_fields.get(parameter, (f"{cls.param_field}.{parameter}",))

    # ------------------------------------------------------------------ the rules

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Shapes of the tops (all that the layer could give; the caller takes the first `tops`).

        Extents may be UNKNOWN; a top whose number of axes only running tells is None. Raises NetcError with the
        numbers; the driver adds layer and bottoms.
        The default: every top has the shape of its bottom.
        """
        return bottoms

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Types of the tops; the default is that of the first bottom for each, and `float32` without bottoms.

        Caffe's blobs are float32: where torch finds indices, `forward` returns them as real numbers.
        """
        return (bottoms[0] if bottoms else "float32",) * tops

    def weights(self, bottoms: Shapes) -> Weights:
        """The layer's blobs in .caffemodel order; none by default."""
        return ()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Work of one forward pass; the default is one operation an element of the first top."""
        from netc.ir.dims import product

        return Cost(operations=product(tops[0]) if tops else 0)

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The constants that `forward` finds in `mode.constants`; `bottoms` is how many bottoms the layer has."""
        return ()

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The tensors that `forward` keeps from pass to pass with `mode.keep`; none by default."""
        return ()

    # ------------------------------------------------------------------ the arithmetic

    def absorbs(self, reader: Layer) -> bool:
        """Whether `reader`, the only reader of this layer's top, can be computed along with it.

        Its weights, in order, are then passed to this layer's module as further arguments (BatchNorm and Scale).
        """
        return False

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """A stock torch module whose semantics agree, None where `forward` is to be wrapped.

        Its parameters and buffers carry the names that `weights` gives.
        """
        return None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """The tops, differentiable by autograd as Caffe's backward pass is."""
        raise NotImplementedError(f"{type(self).__name__} has neither module() nor forward()")


@dataclass(frozen=True)
class DataLayer(Layer):
    """A layer whose tops come from outside the net."""

    is_data: ClassVar[bool] = True
    bottom_count: ClassVar[Count] = Count(0)
    top_count: ClassVar[Count] = Count(1, None)

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Shapes of the tops, given the shapes of one record as the source holds it.

        `record` is None where no source can be asked; a top whose number of axes is then unknown is None.
        """
        raise NotImplementedError


def fail(message: str, *notes: str, code: str = "E102", field: str | None = None, help: str | None = None) -> NoReturn:
    """Raise NetcError for a rule that a layer's parameters or bottoms break.

    Codes: E101 a parameter is missing or contradicts another, E102 shapes do not fit, E103 a value is out of range.
    """
    raise NetcError(message, code=code, notes=notes, field=field, help=help)


def _plain(parameters: Fields, f: dataclasses.Field[Any]) -> Any:
    if f.name not in parameters and _default(f) is not dataclasses.MISSING:
        return _default(f)
    value = Filler.read(parameters, f.name) if f.type in ("Filler", Filler) else parameters[f.name]
    return tuple(value) if isinstance(value, list) else value


def _default(f: dataclasses.Field[Any]) -> Any:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return f.default
