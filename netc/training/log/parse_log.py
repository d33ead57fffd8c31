"""Parses logs of Caffe and netc into tables, as Caffe's `tools/extra/parse_log.py`. Never imports torch.

    log = read_log("lenet.log")
    log.train, log.tests[0]           rows: iteration, seconds, learning rate, outputs
    log.losses                        the averaged loss of each display
    write_tables(log, "tables")       tables/lenet.log.train, tables/lenet.log.test

Lines of other programs and a truncated last line are ignored. If a resumed run appended to the same file, the
iterations that it repeated replace the earlier ones. Unlike in parse_log.py, a row has the learning rate of its own
iteration, not of the previous row, and outputs of the same name have columns of their own.
"""

from __future__ import annotations

import bisect
import csv
import io
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterable

NUMBER = r"[-+]?(?:nan|inf|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
DATE = r"[IWEF](\d{4})?(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
PREFIX = re.compile(DATE + r" ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)\.(\d{1,6})\d* +\d+ [\w./-]+:\d+\] ?")
"""What glog writes before a message, with and without the year: `I1120 21:46:35.002187 19748 solver.cpp:239] `."""
ITERATION = re.compile(r"\bIteration (\d+)\b(.*)")
TESTING = re.compile(r"Testing net \(#(\d+)\)")
LOSS = re.compile(rf"\bloss = ({NUMBER})")
RATE = re.compile(rf"\blr = ({NUMBER})")
OUTPUT = re.compile(rf"\b(Train|Test) net output #(\d+): (.+?) = ({NUMBER})(?= |$)(.*)")
HALF_A_YEAR = 183


@dataclass
class LogRow:
    """One training iteration or one test in a log."""

    iteration: int
    seconds: float
    """Since the start of the run."""
    rate: float = float("nan")
    """Learning rate of the iteration; if the log lacks it, that of the previous one, else of the next one."""
    outputs: dict[str, float] = field(default_factory=dict)
    """By column: the blob's name, and for its further elements `NAME.1`, `NAME.2`, ..."""


@dataclass
class ParsedLog:
    """A training run, reconstructed from its log."""

    name: str
    """The name of the file."""
    train: list[LogRow] = field(default_factory=list)
    tests: dict[int, list[LogRow]] = field(default_factory=dict)
    """By index of the test net."""
    losses: dict[int, float] = field(default_factory=dict)
    """The averaged loss, by iteration."""
    rates: dict[int, float] = field(default_factory=dict)
    """The learning rate, by iteration."""
    weighted: set[str] = field(default_factory=set)
    """Columns that are part of a loss."""


def read_log(path: str | Path) -> ParsedLog:
    """Read the tables in a log. Raises NetcError E001 if it cannot be read, E631 if it contains no iteration."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8", "replace")
        changed = datetime.fromtimestamp(path.stat().st_mtime)
    except OSError as error:
        raise NetcError(f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}", code="E001") from None
    log = parse(text.splitlines(keepends=True), path.name, changed)
    if not (log.train or log.tests or log.losses):
        raise NetcError(
            f"`{path}` is not a training log: no line contains an iteration",
            code="E631",
            help="pass what `caffe train` or `netc train` wrote to stderr, including the prefix of each line",
        )
    return log


def parse(lines: Iterable[str], name: str = "", changed: datetime | None = None) -> ParsedLog:
    r"""Parse the lines of a log, which end in newlines: a last line without one is truncated, and ignored.

    `changed` is the time of the last write to the log; it provides the year, which prefixes of four digits lack.

    >>> first = "I1120 21:46:35.0 7 solver.cpp:289] Solving tiny\n"
    >>> loss = "I1120 21:46:37.5 7 solver.cpp:239] Iteration 20 (8 iter/s, 2.5s/20 iters), loss = 0.25\n"
    >>> output = "I1120 21:46:37.5 7 solver.cpp:258]     Train net output #0: loss = 0.25 (* 1 = 0.25 loss)\n"
    >>> parse([first, loss, output]).train
    [LogRow(iteration=20, seconds=2.5, rate=nan, outputs={'loss': 0.25})]
    """
    parser = _Parser(ParsedLog(name), _Clock(changed or datetime.now()))
    for line in lines:
        for match in (
            list(PREFIX.finditer(line))[-1:] if line.endswith("\n") else ()
        ):  # the last one: a killed run leaves an incomplete line
            parser.process(line[match.end() :].rstrip(), parser.clock.seconds(match))
    log = parser.log
    for table in (log.train, *log.tests.values()):
        _fill_rates(table, log.rates)
        for row in table:
            row.seconds -= parser.start
    return log


def write_tables(log: ParsedLog, folder: str | Path, delimiter: str = ",") -> list[tuple[Path, int]]:
    """Write LOG.train, LOG.test, and LOG.test1, ... for further test nets; return the files with their row counts.

    The columns are NumIters, Seconds, LearningRate and the outputs. A table without rows is not written. Raises
    NetcError E408.
    """
    from netc.weights.atomic import atomic_write  # imports NumPy

    tables = [("train", log.train)]
    tables += [(f"test{index or ''}", rows) for index, rows in sorted(log.tests.items())]
    written = []
    for ending, rows in tables:
        if rows:
            path = Path(folder) / f"{log.name}.{ending}"
            with atomic_write(path) as file:
                file.write(table_text(rows, delimiter).encode())
            written.append((path, len(rows)))
    return written


def table_text(rows: list[LogRow], delimiter: str = ",") -> str:
    r"""Format rows as comma-separated values; an output that a row lacks is empty.

    >>> table_text([LogRow(10, 0.5, 0.01, {"loss": 2.0})])
    'NumIters,Seconds,LearningRate,loss\n10.0,0.5,0.01,2.0\n'
    """
    names = list(dict.fromkeys(name for row in rows for name in row.outputs))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["NumIters", "Seconds", "LearningRate", *names])
    for row in rows:
        values = [row.outputs.get(name, "") for name in names]
        writer.writerow([float(row.iteration), round(row.seconds, 6), row.rate, *values])
    return text.getvalue()


class _Parser:
    """Processes the messages of a log in order."""

    def __init__(self, log: ParsedLog, clock: _Clock) -> None:
        self.log, self.clock, self.start = log, clock, 0.0
        self._solving = False
        self._iteration = self._latest = -1
        self._net = 0
        self._rows: dict[str, LogRow | None] = {"Train": None, "Test": None}

    def process(self, message: str, seconds: float) -> None:
        if self.clock.lines == 1:
            self.start = seconds
        if message.startswith("Solving ") and not self._solving:
            self._solving, self.start = True, seconds
        output = OUTPUT.search(message)
        if output:
            self._output(output, seconds)
        elif match := ITERATION.search(message):
            self._advance(int(match[1]), match[2])

    def _advance(self, iteration: int, rest: str) -> None:
        if iteration < self._latest:
            self._drop_from(iteration)
        self._iteration = self._latest = iteration
        if match := TESTING.search(rest):
            self._net, self._rows["Test"] = int(match[1]), None
        elif match := LOSS.search(rest):
            self.log.losses[iteration], self._rows["Train"] = float(match[1]), None
        elif match := RATE.search(rest):
            self.log.rates[iteration] = float(match[1])

    def _drop_from(self, iteration: int) -> None:
        """Drop `iteration` and later ones, which a resumed run repeats."""
        log = self.log
        for values in (log.losses, log.rates):
            for late in [key for key in values if key >= iteration]:
                del values[late]
        for table in (log.train, *log.tests.values()):
            table[:] = [row for row in table if row.iteration < iteration]

    def _output(self, match: re.Match[str], seconds: float) -> None:
        which, index, name, value, rest = match[1], int(match[2]), match[3], match[4], match[5]
        if self._iteration < 0:
            return  # the beginning of the log is missing
        row = self._rows[which]
        if row is None or index == 0:
            row = self._rows[which] = LogRow(self._iteration, seconds)
            table = self.log.train if which == "Train" else self.log.tests.setdefault(self._net, [])
            table[:] = [other for other in table if other.iteration != self._iteration]
            table.append(row)
        column, repeat = name, 1
        while column in row.outputs:
            column, repeat = f"{name}.{repeat}", repeat + 1
        row.outputs[column] = float(value)
        if rest.endswith("loss)"):
            self.log.weighted.add(column)


class _Clock:
    """The time of each line, in seconds since the epoch."""

    def __init__(self, changed: datetime) -> None:
        self.changed, self.lines = changed, 0
        self._year = 0
        self._last: datetime | None = None

    def seconds(self, match: re.Match[str]) -> float:
        self.lines += 1
        month, day, hour, minute, second = map(int, match.group(2, 3, 4, 5, 6))
        micro = int(match[7].ljust(6, "0"))
        if not self._year or match[1]:
            late = (month, day) > (self.changed.month, self.changed.day)
            self._year = int(match[1]) if match[1] else self.changed.year - late
        moment = _moment(self._year, month, day, hour, minute, second, micro)
        if self._last and not match[1] and (self._last - moment).days > HALF_A_YEAR:
            self._year += 1
            moment = _moment(self._year, month, day, hour, minute, second, micro)
        self._last = moment
        return (moment - datetime(1970, 1, 1)).total_seconds()


def _moment(year: int, *rest: int) -> datetime:
    """Return a date; 29 February of a common year (the file was changed in a later year) is 1 March."""
    month, day, hour, minute, second, micro = rest
    try:
        return datetime(year, month, day, hour, minute, second, micro)
    except ValueError:
        return datetime(year, month + 1, 1, hour, minute, second, micro)


def _fill_rates(table: list[LogRow], rates: dict[int, float]) -> None:
    known = sorted(rates)
    for row in table if known else ():
        row.rate = rates[known[max(0, bisect.bisect_right(known, row.iteration) - 1)]]
