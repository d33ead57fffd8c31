"""The lines of a glog log: prefix, time and numbers, as every platform writes them."""

from __future__ import annotations

import re
from datetime import datetime

_SPECIAL = r"nan(?:\((?:ind|snan|qnan)\))?|inf(?:inity)?|1\.#[A-Z]+\d*"
NUMBER = rf"[-+]?(?:{_SPECIAL}|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.#(])"
"""A number of a C++ stream, with NaN and infinity as on Windows: `-nan(ind)`, `-1.#IND`, `1.#QNAN`, `1.#INF`."""
_DATE = r"[IWEF]((?:19|20)\d\d)?(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)\.(\d{1,6})\d*"
PREFIX = re.compile(_DATE + " " + _TIME + r" +(?:0x)?[\da-fA-F]+ [^\[\]:]*(?::[\\/][^\[\]:]*)?:\d+\] ?")
"""What glog writes before a message: `I1120 21:46:35.002187 19748 solver.cpp:239] `.

The date may have a year, the thread may be hexadecimal (macOS), and the file may be a path of Windows.
"""
HALF_A_YEAR = 183


def parsed_number(text: str) -> float:
    """Return the value of a text that matches NUMBER.

    >>> [parsed_number(text) for text in ("0.5", "-1.#IND", "1.#QNAN", "nan(ind)", "-1.#INF", "-inf")]
    [0.5, nan, nan, nan, -inf, -inf]
    """
    if "#" not in text:
        return float(text.split("(")[0])
    return float(text[0].strip("1") + ("inf" if "#INF" in text else "nan"))


class GlogClock:
    """The time of each line, in seconds since the epoch."""

    def __init__(self, changed: datetime) -> None:
        self.changed = changed
        self._year = 0
        self._last: datetime | None = None
        self._seen: tuple[str | None, ...] = ()
        self._seconds = 0.0

    def seconds(self, match: re.Match[str]) -> float:
        """Return the time in a prefix; a prefix without a year follows the previous line."""
        date_and_time = match.group(1, 2, 3, 4, 5, 6)
        if date_and_time != self._seen:  # many lines have the same second
            self._seen, self._seconds = date_and_time, self._whole_seconds(match)
        return self._seconds + int(match[7].ljust(6, "0")) / 1e6

    def _whole_seconds(self, match: re.Match[str]) -> float:
        month, day, hour, minute, second = map(int, match.group(2, 3, 4, 5, 6))
        if not self._year or match[1]:
            late = (month, day) > (self.changed.month, self.changed.day)
            self._year = int(match[1]) if match[1] else self.changed.year - late
        moment = _moment(self._year, month, day, hour, minute, second)
        if self._last and not match[1] and (self._last - moment).days > HALF_A_YEAR:
            self._year += 1
            moment = _moment(self._year, month, day, hour, minute, second)
        self._last = moment
        return (moment - datetime(1970, 1, 1)).total_seconds()


def _moment(year: int, *rest: int) -> datetime:
    """Return a date; 29 February of a common year (the file was changed in a later year) is 1 March."""
    month, day, hour, minute, second = rest
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return datetime(year, month + 1, 1, hour, minute, second)
