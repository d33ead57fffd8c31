"""Says when data cannot keep up with training, and when records were left out."""

from __future__ import annotations

from collections.abc import Mapping

from netc.training.events import Listener, Note, nobody
from netc.training.feeds import Feed, RecordFeed


class DataWatch:
    """Watches the feeds of a net; called at each display, it gives what is to be told since the last call.

    `net` says which net's they are, where there are several.
    """

    def __init__(self, feeds: Mapping[str, Feed], tell: Listener = nobody, net: str = "") -> None:
        self._tell, self._net = tell, net
        self._sources = {key: feed.source for key, feed in feeds.items() if isinstance(feed, RecordFeed)}
        self._skipped = dict.fromkeys(self._sources, 0)

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
            self._tell(Note("netc:1", line))

    def skipped(self) -> list[str]:
        """How many records were newly left out: `data layer skipped 3 records so far`, with what is wrong with one."""
        lines = []
        for key, source in self._sources.items():
            found = list(source.skipped.values())
            if len(found) > self._skipped[key]:
                records = f"{len(found)} record{'s' * (len(found) > 1)}"
                lines.append(
                    f"data layer{self._named(key)} skipped {records} so far: {found[-1].diagnostics[0].message}"
                )
                self._skipped[key] = len(found)
        return lines

    def _named(self, key: str) -> str:
        """Which of several data layers it is."""
        return f" `{self._net}{key}`" if len(self._sources) > 1 or self._net else ""
