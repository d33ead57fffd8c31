"""Unique names: a number is appended to a name that is already used."""

from __future__ import annotations

from collections.abc import Iterable


class UniqueNames:
    """A set of used names that returns an unused one for each name, in constant time per name.

    >>> names = UniqueNames(".", ["conv"])
    >>> names.add("conv"), names.add("relu"), names.add("conv"), names.add("conv.1")
    ('conv.1', 'relu', 'conv.2', 'conv.1.1')
    """

    def __init__(self, separator: str, used: Iterable[str] = (), *, first: int = 1) -> None:
        """`separator` precedes the number; `first` is the number of the first repetition."""
        self.separator, self.first = separator, first
        self.used = set(used)
        self._next: dict[str, int] = {}
        """The next number to try for each repeated name; searching from the first one would be quadratic."""

    def add(self, name: str) -> str:
        """Add and return `name`, or the first unused name of the form `<name><separator><number>`."""
        unique = name
        if name in self.used:
            number = self._next.get(name, self.first)
            while (unique := f"{name}{self.separator}{number}") in self.used:
                number += 1
            self._next[name] = number + 1
        self.used.add(unique)
        return unique
