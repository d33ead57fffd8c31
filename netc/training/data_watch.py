"""Says when data cannot keep up with training, and when records were left out."""

from __future__ import annotations

from collections.abc import Mapping

from netc.training.feeds import Feed, RecordFeed


class DataWatch:
    """Watches the feeds of a net; called at each display, it gives what is to be told since the last call."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._sources = {key: feed.source for key, feed in feeds.items() if isinstance(feed, RecordFeed)}
        self._skipped = dict.fromkeys(self._sources, 0)

    def __call__(self) -> list[str]:
        """Lines for the log: `data layer limits: 412 images/s`, and how many records were newly left out."""
        lines = []
        for key, source in self._sources.items():
            layer = f" `{key}`" if len(self._sources) > 1 else ""
            if source.statistics.limiting:
                lines.append(f"data layer{layer} limits: {source.statistics.records_per_second:.0f} images/s")
            source.statistics.restart()
            count = len(source.skipped)
            if count > self._skipped[key]:
                last = source.skipped[next(reversed(list(source.skipped)))]
                lines.append(f"data layer{layer} skipped {count} records so far: {last.diagnostics[0].message}")
                self._skipped[key] = count
        return lines
