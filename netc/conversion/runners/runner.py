"""What a form of a net offers to those who run it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from netc.diagnostics import NetcError
from netc.foreign import words
from netc.passes.arrays import Array

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from netc.exporters.symbolic_shapes import Extents

Values = dict[str, Array]
"""By name, in the order in which they were computed."""
Writers = dict[str, tuple[str, ...]]
"""For each value the layers that were computed together to produce it, the last one last."""


class Runner(Protocol):
    """One form of a net."""

    @property
    def path(self) -> str | Path:
        """The file, as in messages."""

    @property
    def inputs(self) -> Mapping[str, Extents]:
        """The inputs with their extents: a number, or a name for an extent that is free; empty for a dump."""

    @property
    def indices(self) -> Collection[str]:
        """The inputs that are known to be used as indices only."""

    @property
    def versions(self) -> bool:
        """Whether names distinguish versions of a blob."""

    @property
    def writers(self) -> Writers:
        """The layers that compute each value; empty where that is unknown."""

    @property
    def blobs(self) -> Mapping[str, str]:
        """The blob of each value; empty where that is unknown."""

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """Every value that the form exposes. Raises NetcError."""
        ...


def given(runner: Runner, inputs: Mapping[str, Array], name: str) -> Array:
    """The array for an input. Raises NetcError E302 if there is none."""
    if name not in inputs:
        raise NetcError(f"input `{name}` of `{runner.path}` is missing", code="E302", help="pass `--input`")
    return inputs[name]


@contextlib.contextmanager
def engine_errors(path: str | Path, inputs: Mapping[str, Array]) -> Iterator[None]:
    """Raise NetcError E302 for any exception of the engine that runs a form; a note quotes the engine."""
    try:
        yield
    except NetcError:
        raise
    except (Exception, SystemExit) as error:
        shapes = ", ".join(f"`{name}` {list(array.shape)}" for name, array in inputs.items())
        notes = [f"inputs: {shapes}", words(error)]
        raise NetcError(f"`{path}` cannot be run on this input", code="E302", notes=notes) from error
