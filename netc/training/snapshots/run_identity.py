"""The identity of a training run, by which `--snapshot auto` and `keep` tell one run's snapshots from another's.

A run that resumes from its newest snapshot keeps its identity. One that starts from the beginning, or branches off
from an older snapshot, is a new run; it remembers the runs that it continues. `.PREFIX.run.json` names the latest run
of a prefix.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.files import is_file
from netc.training.snapshots.json_check import integer, items, number, read_json, record, text
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = ""
"""In place of an identity: snapshots of Caffe, and of netc before snapshots had one."""
MAX_TIME = 2e11
"""Seconds since the epoch, in the year 8307."""
MAX_ANCESTORS = 50
"""Runs that a run remembers; older ones are forgotten."""


@dataclass(frozen=True)
class Ancestor:
    """A run that another one continues."""

    id: str
    iteration: int
    """The last iteration that both share."""


@dataclass(frozen=True)
class Run:
    """The identity of a run."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    ancestors: tuple[Ancestor, ...] = ()

    def branch(self, iteration: int) -> Run:
        """Return a new run that continues this one after an iteration."""
        kept = [each for each in self.ancestors if each.iteration <= iteration]
        return Run(ancestors=(*kept, Ancestor(self.id, iteration))[-MAX_ANCESTORS:])

    def includes(self, run: str, iteration: int) -> bool:
        """Whether the snapshot of a run and an iteration is one of this run, or of one that it continues.

        >>> old = Run("a")
        >>> new = old.branch(20)
        >>> new.includes("a", 20), new.includes("a", 30), old.includes("a", 30)
        (True, False, True)
        """
        return run == self.id or any(run == each.id and iteration <= each.iteration for each in self.ancestors)

    def plain(self) -> dict[str, Any]:
        """Return the identity as plain JSON."""
        return asdict(self)

    @staticmethod
    def of(content: dict[str, Any]) -> Run:
        """The inverse of `plain`, for content that `RUN` accepts."""
        ancestors = tuple(Ancestor(each["id"], each["iteration"]) for each in content["ancestors"])
        return Run(content["id"], content["started"], ancestors)


RUN = record(
    {"id": text, "started": number(0, MAX_TIME), "ancestors": items(record({"id": text, "iteration": integer()}))},
)
"""The schema of `Run.plain`."""
UNKNOWN_RUN = Run(UNKNOWN, 0)


def run_path(prefix: str) -> Path:
    """Return the path of the file that names the latest run of a prefix.

    >>> run_path("snapshots/lenet").name
    '.lenet.run.json'
    """
    path = Path(prefix)
    return path.with_name(f".{path.name}.run.json")


def write_latest_run(prefix: str, run: Run) -> None:
    """Name the latest run of a prefix. Raises NetcError E408."""
    with atomic_write(run_path(prefix)) as file:
        file.write(json.dumps(run.plain()).encode())


@contextlib.contextmanager
def announced(prefix: str, run: Run) -> Iterator[None]:
    """Name the latest run while it prepares, which takes time; if that fails, name the previous one again.

    A folder that does not exist, or cannot be written, is reported later.
    """
    path = run_path(prefix)
    before = path.read_bytes() if is_file(path) else None
    with contextlib.suppress(NetcError):
        write_latest_run(prefix, run)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, NetcError):
            _restore(path, before)
        raise


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
        return
    with atomic_write(path) as file:
        file.write(content)


def latest_run(prefix: str) -> Run | None:
    """Return the latest run of a prefix, None if it is not known. Raises NetcError E706 for a damaged file."""
    path = run_path(prefix)
    try:
        return Run.of(read_json(path, RUN))
    except FileNotFoundError:
        return None
    except ValueError as error:
        help = f"remove `{path}`: the latest run is then that of the newest snapshot"
        raise NetcError(f"`{path}` is damaged: {error}", code="E706", help=help) from error
