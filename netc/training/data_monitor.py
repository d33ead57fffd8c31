"""Reports when data cannot keep up with training, and which records were skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.data.feeds.record_feed import RecordFeed
from netc.diagnostics import counted
from netc.training.distributed.world import SINGLE_PROCESS
from netc.training.log.events import Listener, LogNote, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netc.data.feeds.feed import LayerFeed


class DataMonitor:
    """Monitors the feeds of a net.

    `name` identifies the net in messages, if there are several. `gather` collects one value from each process of the
    run, so that skipped records are counted over all of them: then all processes must make the same calls.
    """

    def __init__(
        self,
        feeds: Mapping[str, LayerFeed],
        listener: Listener = ignore,
        name: str = "",
        gather: Callable[[Any], list[Any]] = SINGLE_PROCESS.gather,
    ) -> None:
        self._listener, self._name, self._gather = listener, name, gather
        self._sources = {key: feed.source for key, feed in feeds.items() if isinstance(feed, RecordFeed)}
        self._reported = dict.fromkeys(self._sources, 0)
        """How many skipped records of this process were already passed to `gather`."""
        self._skipped: dict[str, set[str]] = {key: set() for key in self._sources}
        """The records that any process skipped: several processes may find the same one."""

    def report(self, only_skipped: bool = False) -> None:
        """Send `messages`, or only `skipped`, to the listener."""
        for line in self.skipped() if only_skipped else self.messages():
            self._listener(LogNote("netc:1", line))

    def messages(self) -> list[str]:
        """Return what happened since the last call: `data layer limits: 412 images/s`, and newly skipped records."""
        lines = []
        for key, source in self._sources.items():
            if source.statistics.limiting:
                speed = source.statistics.records_per_second
                lines.append(f"data layer{self._label(key)} limits: {speed:.0f} images/s")
            source.statistics.restart()
        return lines + self.skipped()

    def skipped(self) -> list[str]:
        """Return lines such as `data layer skipped 3 records so far: CAUSE` for layers that skipped more."""
        if not self._sources:
            return []
        lines, gathered = [], self._gather({key: self._newly_skipped(key) for key in self._sources})
        for key, known in self._skipped.items():
            found = {name: message for one in gathered for name, message in one[key].items() if name not in known}
            if found:
                known.update(found)
                records = counted(len(known), "record")
                lines.append(f"data layer{self._label(key)} skipped {records} so far: {list(found.values())[-1]}")
        return lines

    def _newly_skipped(self, key: str) -> dict[str, str]:
        """The records that this process skipped since the last call, each with its error message."""
        found = list(self._sources[key].skipped.items())[self._reported[key] :]
        self._reported[key] += len(found)
        return {name: error.diagnostics[0].message for name, error in found}

    def _label(self, key: str) -> str:
        """The name of one data layer, if there are several."""
        return f" `{self._name}{key}`" if len(self._sources) > 1 or self._name else ""
