"""The batches of the readers of FlowNet2: one file, repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.float_files import open_flo, open_float3
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.records import Record, UnbatchedRecords
from netc.data.sources.flow_database import PendingArrays
from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from netc.data.batch import Allocate, Array, Shape
    from netc.data.float_files import FloatFile
    from netc.data.pipeline.sampling import Sampler

FIELD = "reader_param.file"
OPENERS: dict[str, Callable[[Path], FloatFile]] = {"flo": open_flo, "float3": open_float3}
"""What reads the header of a file, by format."""


class RepeatedFile(PrefetchingSource[PendingArrays]):
    """Batches of `count` times the planes (c, h, w) that `read` returns, which is called once; see `BatchSource`."""

    normalization = None

    def __init__(self, name: str, sampler: Sampler, count: int, shape: Shape, read: Callable[[], Array]) -> None:
        super().__init__(name, sampler, count, (shape,), prefetch=1, threads=1)
        self.skipped: dict[str, NetcError] = {}
        """None: there is no other file."""
        self._read = read
        self._planes: Array | None = None

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; the planes are complete as they are."""

    def epoch_size(self) -> int | None:
        """One batch."""
        return self.batch_size

    def start_batch(self, pool: Executor, position: int) -> PendingArrays:
        """Start to copy the planes."""
        return PendingArrays(pool.submit(self._tops))

    def _tops(self) -> tuple[Array, ...]:
        if self._planes is None:
            self._planes = self._read()
        return (np.repeat(self._planes[None], self.batch_size, axis=0),)


def numbers_of(layer: Any, path: Path, sampler: Sampler) -> RepeatedFile:
    """The source of a file of numbers. Raises NetcError E501 if it cannot be read, E504 if it is damaged."""
    file = _guarded(layer.file, lambda: OPENERS[layer.format](path))
    return RepeatedFile(layer.file, sampler, layer.num, file.shape, lambda: _guarded(layer.file, file.read))


class OneImage(UnbatchedRecords):
    """The image of an ImgReader layer, in color; see `Records`. Raises NetcError as `numbers_of` does."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._image = _guarded(name, lambda: images.decode(memoryview(images.read([path])), images.IMREAD_COLOR))

    def shapes(self, index: int = 0) -> tuple[Shape, ...]:
        """The planes, and a label that is not used."""
        return self._image.shape, ()

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """The only image."""
        return np.zeros(1, np.int64)

    def describe(self, index: int) -> str:
        """The file, for a message."""
        return f"`{self.name}`"

    def next_index(self, index: int) -> int:
        """The only image."""
        return 0

    def read(self, index: int) -> Record:
        """The image."""
        return Record(self._image, 0)

    def close(self) -> None:
        """Nothing is open."""


def _guarded(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = f"`{name}` cannot be read: {reason_of(error)}"
        raise NetcError(what, code="E501", field=FIELD, missing=missing) from None
    except ValueError as error:
        raise NetcError(f"`{name}`: {error}", code="E504", field=FIELD) from None
