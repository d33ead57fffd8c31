"""The origin of a node that a LayerParameter describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.frontends.caffe.files import files_of
from netc.ir.fields import Fields
from netc.ir.origin import FileReference, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from netc.diagnostics import Span

OF_THE_LAYER = frozenset(
    ("name", "type", "bottom", "top", "param", "loss_weight", "propagate_down", "include", "exclude", "phase")
)
"""Fields of LayerParameter itself; any other name is looked up in the layer's parameters first."""


class LayerOrigin(Origin):
    """A layer of a prototxt."""

    __slots__ = ("layer", "param_field")

    dialect = "caffe"

    def __init__(self, layer: Fields, param_field: str | None = None) -> None:
        self.layer = layer
        self.param_field = param_field
        """The message field with the parameters of the layer type."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerOrigin) and other.layer is self.layer

    def __hash__(self) -> int:
        return id(self.layer)

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer["name"])

    @property
    def type(self) -> str:
        """The layer's type."""
        return str(self.layer["type"])

    @property
    def bottoms(self) -> tuple[str, ...]:
        """The names of its bottom blobs."""
        return tuple(self.layer["bottom"])

    @property
    def tops(self) -> tuple[str, ...]:
        """The names of its top blobs."""
        return tuple(self.layer["top"])

    @property
    def entries(self) -> Mapping[str, Any]:
        """The fields of the LayerParameter that are set."""
        return self.layer.values

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a parameter or of a field of the layer if the file sets it, else `default`."""
        for message in self._messages(name):
            if name in message:
                return message[name]
        return default

    def span(self, part: str = "", index: int = 0) -> Span | None:
        """Return the position of a field of the layer, of its parameters, or of the message named before a dot."""
        *path, field = part.split(".")
        if path:
            return self._inner(path, field, index)
        spans = (message.span(field, index) for message in self._messages(field))
        return next((span for span in spans if span), None)

    def _messages(self, name: str) -> Iterator[Fields]:
        if name and name not in OF_THE_LAYER:
            if self.param_field:
                yield self.layer.message(self.param_field)
            yield self.layer
            yield from (value for value in self.layer.values.values() if isinstance(value, Fields))
        else:
            yield self.layer

    def _inner(self, path: list[str], field: str, index: int) -> Span | None:
        message = self.layer
        for name in path:
            value = message.get(name, None)
            if isinstance(value, (list, tuple)):
                if index >= len(value):
                    return None
                message = value[index]
            else:
                message = message.message(name)
        return message.span(field)

    def files(self) -> Iterator[FileReference]:
        """Yield the files that the layer refers to."""
        return files_of(self.layer)
