"""Says when data cannot keep up with training, and when records were left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from netc.training.distributed.world import ALONE
from netc.training.feeds import LayerFeed, RecordFeed
from netc.training.log.events import Listener, LogNote, ignore

if TYPE_CHECKING:
    from netc.training.solver.loop import Solver
    from netc.training.solver.solver_net import SolverNet


class DataMonitor:
    """Watches the feeds of a net; called at each display, it gives what is to be told since the last call.

    `net` says which net's they are, where there are several. `gather` is a team's, where its processes count what they
    leave out together: all of them must then make the same calls.
    """

    def __init__(
        self,
        feeds: Mapping[str, LayerFeed],
        tell: Listener = ignore,
        net: str = "",
        gather: Callable[[Any], list[Any]] = ALONE.gather,
    ) -> None:
        self._tell, self._net, self._gather = tell, net, gather
        self._sources = {key: feed.source for key, feed in feeds.items() if isinstance(feed, RecordFeed)}
        self._given = dict.fromkeys(self._sources, 0)
        """How many records of this process's were handed to `gather`."""
        self._skipped: dict[str, set[str]] = {key: set() for key in self._sources}
        """The records that all processes left out: two of them may meet the same one."""

    def __call__(self) -> list[str]:
        """Lines for the log: `data layer limits: 412 images/s`, and how many records were newly left out."""
        lines = []
        for key, source in self._sources.items():
            if source.statistics.limiting:
                lines.append(
                    f"data layer{self._named(key)} limits: {source.statistics.records_per_second:.0f} images/s"
                )
            source.statistics.restart()
        return lines + self.skipped()

    def tell(self, only_skipped: bool = False) -> None:
        """Tell a listener of all this, or of what `skipped` gives."""
        for line in self.skipped() if only_skipped else self():
            self._tell(LogNote("netc:1", line))

    def skipped(self) -> list[str]:
        """How many records were newly left out: `data layer skipped 3 records so far`, with what is wrong with one."""
        if not self._sources:
            return []
        lines, given = [], self._gather({key: self._found(key) for key in self._sources})
        for key, known in self._skipped.items():
            found = {name: message for one in given for name, message in one[key].items() if name not in known}
            if found:
                known.update(found)
                records = f"{len(known)} record{'s' * (len(known) > 1)}"
                lines.append(f"data layer{self._named(key)} skipped {records} so far: {list(found.values())[-1]}")
        return lines

    def _found(self, key: str) -> dict[str, str]:
        """Records that this process newly left out, and what is wrong with each."""
        found = list(self._sources[key].skipped.items())[self._given[key] :]
        self._given[key] += len(found)
        return {name: error.diagnostics[0].message for name, error in found}

    def _named(self, key: str) -> str:
        """Which of several data layers it is."""
        return f" `{self._net}{key}`" if len(self._sources) > 1 or self._net else ""


def data_watch(solver: Solver, part: SolverNet, net: str = "") -> DataMonitor:
    """A watch of one net of a solver; its team counts together only where records may be left out at all."""
    team = solver.team if solver.settings.options.skip_bad else ALONE
    return DataMonitor(part.feeds, solver.tell, net, team.gather)
