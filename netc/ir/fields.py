"""A message's fields as plain Python values, with defaults and positions in the file.

Layer classes read their parameters from it, whether they come from prototxt text, from a
binary file or from Python: the IR does not depend on protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from netc.diagnostics import Span

T = TypeVar("T")
Locate = Callable[[str, int], "Span | None"]
"""`locate(field, index)` returns the span of the index-th value of a field; field `""` is the message itself."""


def nowhere(field: str, index: int) -> Span | None:
    """The `locate` of values that do not come from text."""
    return None


class Fields:
    """One message: the values that are set, and the defaults of the others.

    Scalars are int, float, bool, str (also enum values, by name) or bytes; repeated fields are lists;
    messages are Fields. A message field that is not set reads as an empty message with its defaults.

    >>> pooling = Fields({"kernel_size": 3}, {"kernel_size": 0, "stride": 1})
    >>> pooling["stride"], "stride" in pooling
    (1, False)
    """

    __slots__ = ("_locate", "_nested", "defaults", "values")

    def __init__(
        self,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        nested: Callable[[str], Fields] | None = None,
        locate: Locate = nowhere,
    ) -> None:
        self.values = values
        self.defaults = defaults or {}
        self._nested = nested
        self._locate = locate

    def __contains__(self, name: str) -> bool:
        """Whether the field is set; a repeated field is set if it has a value."""
        return name in self.values

    def __getitem__(self, name: str) -> Any:
        """The value, or the default.

        Raises KeyError for a name that the message does not have, which is a bug in netc, not an error in the file.
        """
        if name in self.values:
            return self.values[name]
        return self.defaults[name]

    def get(self, name: str, default: T) -> Any | T:
        """The value if it is set, else `default` (the schema's default is ignored)."""
        return self.values.get(name, default)

    def message(self, name: str) -> Fields:
        """A message field; an empty message with its defaults if it is not set."""
        value = self.values.get(name)
        if isinstance(value, Fields):
            return value
        return self._nested(name) if self._nested else Fields({})

    def span(self, name: str = "", index: int = 0) -> Span | None:
        """The span of the index-th value of a field, None if it is not set or does not come from text.

        The empty name denotes the message itself.
        """
        return self._locate(name, index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle values and defaults as plain dicts; mappings that only read cannot be pickled."""
        return Fields, (dict(self.values), dict(self.defaults), self._nested, self._locate)

    def __repr__(self) -> str:
        return f"Fields({dict(self.values)!r})"
