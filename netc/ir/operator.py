"""A Caffe2 operator as its file describes it: the type, the arguments, and the names of its blobs.

Layer classes read their parameters from it (`Layer.from_caffe2`); it knows neither text nor protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from netc.diagnostics import NetcError, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["f", "i", "s", "n", "t", "floats", "ints", "strings", "nets", "tensors", "qtensors"]
"""The field of an `Argument` message that holds the value."""
Argument = Mapping[Kind, Any]
"""The fields of an argument that are set: numbers, bytes and messages; tuples or arrays for lists."""
_WORDS: Mapping[str, str] = {
    "f": "a float",
    "i": "an integer",
    "s": "a string",
    "n": "a net",
    "t": "a tensor",
    "floats": "a list of floats",
    "ints": "a list of integers",
    "strings": "a list of strings",
    "nets": "a list of nets",
    "tensors": "a list of tensors",
    "qtensors": "a list of quantized tensors",
}


class Operator:
    """One operator of a NetDef.

    Reading an argument that is set in another field raises NetcError E006 with the argument as `field` of the
    diagnostic: Caffe2 converts nothing (`proto_utils.cc`, ArgumentHelper). Arguments that nothing reads are ignored, as
    in Caffe2.

    >>> operator = Operator("Conv", {"kernel": {"i": 3}}, ("X", "W"), ("Y",))
    >>> operator.integer("kernel"), operator.integer("stride", 1)
    (3, 1)
    """

    def __init__(
        self,
        type: str,
        arguments: Mapping[str, Argument] = MappingProxyType({}),
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        *,
        name: str = "",
        engine: str = "",
        is_gradient: bool = False,
    ) -> None:
        self.type, self.arguments, self.inputs, self.outputs = type, arguments, tuple(inputs), tuple(outputs)
        self.name, self.engine, self.is_gradient = name, engine, is_gradient

    def __contains__(self, name: str) -> bool:
        """Whether the file sets an argument."""
        return name in self.arguments

    def __iter__(self) -> Iterator[str]:
        """The names of the arguments."""
        return iter(self.arguments)

    def real(self, name: str, default: float = 0.0) -> float:
        """A floating-point argument."""
        return float(self._scalar(name, "f", default))

    def integer(self, name: str, default: int = 0) -> int:
        """An integer argument."""
        return int(self._scalar(name, "i", default))

    def flag(self, name: str, default: bool = False) -> bool:
        """A Boolean argument, which files store as an integer."""
        return bool(self._scalar(name, "i", default))

    def text(self, name: str, default: str = "") -> str:
        """A string argument as text. Bytes that are not UTF-8 become lone surrogates."""
        found = self._scalar(name, "s", default)
        return found if isinstance(found, str) else bytes(found).decode("utf-8", "surrogateescape")

    def raw(self, name: str, default: bytes = b"") -> bytes:
        """A string argument as bytes."""
        return bytes(self._scalar(name, "s", default))

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A list of integers; `default` if the argument is not set."""
        return tuple(int(value) for value in self._list(name, "ints", default))

    def reals(self, name: str, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """A list of floats; `default` if the argument is not set."""
        return tuple(float(value) for value in self._list(name, "floats", default))

    def array(self, name: str, kind: Kind) -> NDArray[Any] | tuple[Any, ...]:
        """The numbers of a list as they were read, which may be a view of a memory map; empty if it is not set."""
        found: NDArray[Any] | tuple[Any, ...] = self._list(name, kind, ())
        return found

    def strings(self, name: str) -> tuple[bytes, ...]:
        """A list of strings as bytes; empty if the argument is not set."""
        return tuple(bytes(value) for value in self._list(name, "strings", ()))

    def require(self, name: str) -> None:
        """Raise NetcError E101 if the file does not set an argument."""
        if name not in self.arguments:
            raise NetcError(f"`{self.type}` requires the argument `{name}`", code="E101", field=name)

    def fail(
        self, message: str, argument: str | None = None, *, code: str = "E103", help: str | None = None
    ) -> NoReturn:
        """Raise NetcError for an argument whose value the operator does not accept."""
        raise NetcError(message, code=code, field=argument, help=help)

    def _scalar(self, name: str, kind: Kind, default: Any) -> Any:
        argument = self.arguments.get(name)
        if argument is None:
            return default
        if kind not in argument:
            raise self._wrong_kind(name, argument, kind)
        return argument[kind]

    def _list(self, name: str, kind: Kind, default: Any) -> Any:
        argument = self.arguments.get(name)
        if argument is None:
            return default
        if argument and kind not in argument:
            raise self._wrong_kind(name, argument, kind)
        return argument.get(kind, ())

    def _wrong_kind(self, name: str, argument: Argument, wanted: Kind) -> NetcError:
        found = " and ".join(_WORDS[kind] for kind in argument) or "empty"
        return NetcError(
            f"the argument `{visible(name)}` is {found}, expected {_WORDS[wanted]}",
            code="E006",
            field=name,
            help=f"set it in the field `{wanted}`",
        )

    def __repr__(self) -> str:
        return f"Operator({self.type!r}, {', '.join(self.inputs)} -> {', '.join(self.outputs)})"
