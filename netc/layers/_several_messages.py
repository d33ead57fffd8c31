"""Base of layers whose parameters are spread over several messages of a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from netc.ir.fields import Fields
from netc.ir.layer import Layer


@dataclass(frozen=True)
class SeveralMessages(Layer):
    """A layer whose parameters are fields of the same name, each in the message that `message_of` names."""

    @staticmethod
    def message_of(parameter: str) -> str:
        """The message that a parameter is read from."""
        raise NotImplementedError

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads all messages. Raises NetcError E101, E103, E104 for what `_check` refuses."""
        result = cls(**{f.name: cls._value(layer, f.name, f.default) for f in fields(cls)})
        result._check()
        return result

    @classmethod
    def _value(cls, layer: Fields, name: str, default: Any) -> Any:
        value = layer.message(cls.message_of(name)).get(name, default)
        return tuple(value) if isinstance(default, tuple) else value

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """The field of the same name in its message."""
        return (f"{cls.message_of(parameter)}.{parameter}",)

    def to_caffe(self) -> dict[str, Any]:
        """The messages, by name, without defaults."""
        result: dict[str, Any] = {}
        for name, value in super().to_caffe().items():
            result.setdefault(self.message_of(name), {})[name] = value
        return result

    def _check(self) -> None:
        """Raise NetcError for parameters out of range."""
