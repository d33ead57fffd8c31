"""Parses logs of Caffe and netc into rows, as Caffe's `tools/extra/parse_log.py`. Never imports torch.

    log = read_log("lenet.log")
    log.train, log.tests[0]           rows: iteration, seconds, learning rate, outputs
    log.losses                        the averaged loss of each display
    log.unused                        the lines with results that were not understood

Logs of every version of Caffe since 2013 are read, of its forks, of every platform, with and without glog's prefix.
Lines of other programs and a truncated last line are ignored. If a resumed run appended to the same file, the
iterations that it repeated replace the earlier ones. Unlike in parse_log.py, a row has the learning rate of its own
iteration, not of the previous row, and outputs of the same name have columns of their own.
"""

from __future__ import annotations

import bisect
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.files import check_regular, reason_of
from netc.training.log.glog_lines import NUMBER, PREFIX, GlogClock, parsed_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ITERATION = re.compile(r"\bIteration (\d{1,15})\b(.*)")
TESTING = re.compile(r"Testing net(?: \(#(\d{1,9})\))?")
LOSS = re.compile(rf"\bloss = ({NUMBER})")
RATE = re.compile(rf"\blr = ({NUMBER})")
OUTPUT = re.compile(rf"\b(Train|Test) net output #(\d{{1,9}}): (.+?) = ({NUMBER})(?= |$)(.*)")
UNNAMED = re.compile(rf"\b(?:(Train|Test) net output|Test (score)) #(\d{{1,9}}): ({NUMBER})$")
"""An output in a log of 2013 or 2014, when outputs were not named."""
RESULT = re.compile(r"\b(?:Train|Test) (?:net output|score) #|\bIteration \d.*\b(?:loss|lr) *[=:]")
"""What a line with results contains."""
MAX_LINE = 1 << 16
"""Longer lines are cut."""


@dataclass
class LogRow:
    """One training iteration or one test in a log."""

    iteration: int
    seconds: float
    """Since the start of the run; NaN if the lines have no time."""
    rate: float = float("nan")
    """Learning rate of the iteration; if the log lacks it, that of the previous one, else of the next one."""
    outputs: dict[str, float] = field(default_factory=dict)
    """By column: the blob's name, and for its further elements `NAME.1`, `NAME.2`, ...; outputs of a log without names
    are `score_0` or `output_0`, ..."""
    repeats: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """By blob, the number of its elements so far."""

    def add(self, name: str, value: float) -> str:
        """Add an element of an output; return its column."""
        column, repeat = name, self.repeats.get(name, 0)
        while column in self.outputs:
            repeat += 1
            column = f"{name}.{repeat}"
        self.repeats[name], self.outputs[column] = repeat, value
        return column


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
    unused: int = 0
    """The number of lines that contain results but were not understood."""
    first_unused: tuple[int, str] = (0, "")
    """The first of them: its number, from 1, and its text."""

    @property
    def has_results(self) -> bool:
        """Whether the log contains any result."""
        return bool(self.train or self.tests or self.losses or self.rates)

    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return W631 for lines that were not understood."""
        if not self.unused:
            return ()
        number, text = self.first_unused
        message = f"results in {counted(self.unused, 'line')} of `{self.name}` were not understood"
        return (Diagnostic("W631", message, notes=(f"line {number}: {text[:120]}",)),)


def read_log(path: str | Path) -> ParsedLog:
    """Read the results in a log. Raises NetcError E001 if it cannot be read, E631 if it contains no iteration."""
    path = Path(path)
    try:
        check_regular(path)
        changed = datetime.fromtimestamp(path.stat().st_mtime)
        log = parse(_lines(path), path.name, changed)
        if not log.has_results:
            log = parse(_lines(path), path.name, changed, prefixed=False)
    except NetcError:
        raise
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise NetcError(f"`{path}` cannot be read: {reason_of(error)}", code="E001", missing=missing) from None
    if not log.has_results:
        raise NetcError(
            f"`{path}` is not a training log: no line contains an iteration",
            code="E631",
            notes=[note for found in log.warnings() for note in (found.message, *found.notes)],
            help="pass what `caffe train` or `netc train` wrote to stderr",
        )
    return log


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a log; PowerShell redirects to UTF-16."""
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in (BOM_UTF16_BE, BOM_UTF16_LE) else "utf-8"
    with path.open(encoding=encoding, errors="replace") as text:
        while line := text.readline(MAX_LINE):
            yield line


def parse(lines: Iterable[str], name: str = "", changed: datetime | None = None, *, prefixed: bool = True) -> ParsedLog:
    r"""Parse the lines of a log, which end in newlines: a last line without one is truncated, and ignored.

    `changed` is the time of the last write to the log; it provides the year, which prefixes of four digits lack. Unless
    `prefixed`, lines have no prefix and no time.

    >>> first = "I1120 21:46:35.0 7 solver.cpp:289] Solving tiny\n"
    >>> loss = "I1120 21:46:37.5 7 solver.cpp:239] Iteration 20 (8 iter/s, 2.5s/20 iters), loss = 0.25\n"
    >>> output = "I1120 21:46:37.5 7 solver.cpp:258]     Train net output #0: loss = 0.25 (* 1 = 0.25 loss)\n"
    >>> parse([first, loss, output]).train
    [LogRow(iteration=20, seconds=2.5, rate=nan, outputs={'loss': 0.25})]
    """
    log, clock = ParsedLog(name), GlogClock(changed or datetime.now())
    parser = _Parser(log)
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            continue
        match = _last_prefix(line)
        seconds = clock.seconds(match) if match else float("nan")
        message = line[match.end() if match else 0 :].rstrip()
        if not ((match or not prefixed) and parser.process(message, seconds)) and RESULT.search(message):
            log.unused += 1
            log.first_unused = log.first_unused if log.unused > 1 else (number, message.strip())
    return parser.finished()


def _last_prefix(line: str) -> re.Match[str] | None:
    """A killed run leaves an incomplete line, to which the next run appends."""
    found = None
    for match in PREFIX.finditer(line):
        found = match
    return found


class _Parser:
    """Processes the messages of a log in order."""

    def __init__(self, log: ParsedLog) -> None:
        self.log = log
        self._start: float | None = None
        self._solving = False
        self._iteration = self._latest = -1
        self._net = 0
        self._rows: dict[str, LogRow | None] = {"Train": None, "Test": None}
        self._displays: list[LogRow] = []
        """The averaged losses, for a log without outputs of the train net."""

    def process(self, message: str, seconds: float) -> bool:
        """Process one message; return whether it was understood."""
        if self._start is None:
            self._start = seconds
        if message.startswith("Solving ") and not self._solving:
            self._solving, self._start = True, seconds
        if match := OUTPUT.search(message):
            return self._output(match[1], int(match[2]), match[3], match[4], seconds, match[5].endswith("loss)"))
        if match := UNNAMED.search(message):
            name = f"{match[2] or 'output'}_{match[3]}"
            return self._output(match[1] or "Test", int(match[3]), name, match[4], seconds)
        match = ITERATION.search(message)
        return match is not None and self._advance(int(match[1]), match[2], seconds)

    def finished(self) -> ParsedLog:
        """Return the log, with learning rates and with seconds since the start."""
        log = self.log
        if not log.train and self._displays:
            log.train, log.weighted = self._displays, {*log.weighted, "loss"}
        for table in (log.train, *log.tests.values()):
            _fill_rates(table, log.rates)
            for row in table:
                row.seconds -= self._start or 0.0
        return log

    def _advance(self, iteration: int, rest: str, seconds: float) -> bool:
        if iteration < self._latest:
            self._drop_from(iteration)
        self._iteration = self._latest = iteration
        if match := TESTING.search(rest):
            self._net, self._rows["Test"] = int(match[1] or 0), None
        elif match := LOSS.search(rest):
            self.log.losses[iteration], self._rows["Train"] = parsed_number(match[1]), None
            _drop(self._displays, iteration)
            self._displays.append(LogRow(iteration, seconds, outputs={"loss": parsed_number(match[1])}))
        elif match := RATE.search(rest):
            self.log.rates[iteration] = parsed_number(match[1])
        else:
            return False
        return True

    def _drop_from(self, iteration: int) -> None:
        """Drop `iteration` and later ones, which a resumed run repeats; the last ones are at the end of each table."""
        for values in (self.log.losses, self.log.rates):
            while values and next(reversed(values)) >= iteration:
                values.popitem()
        for table in (self.log.train, self._displays, *self.log.tests.values()):
            _drop(table, iteration)

    def _output(self, which: str, index: int, name: str, value: str, seconds: float, is_loss: bool = False) -> bool:
        if self._iteration < 0:
            return False  # the beginning of the log is missing
        row = self._rows[which]
        if row is None or index == 0:
            row = self._rows[which] = LogRow(self._iteration, seconds)
            table = self.log.train if which == "Train" else self.log.tests.setdefault(self._net, [])
            _drop(table, self._iteration)
            table.append(row)
        column = row.add(name, parsed_number(value))
        if is_loss:
            self.log.weighted.add(column)
        return True


def _drop(table: list[LogRow], iteration: int) -> None:
    """Remove the rows of `iteration` and later ones from the end of a table."""
    while table and table[-1].iteration >= iteration:
        table.pop()


def _fill_rates(table: list[LogRow], rates: dict[int, float]) -> None:
    known = sorted(rates)
    for row in table if known else ():
        row.rate = rates[known[max(0, bisect.bisect_right(known, row.iteration) - 1)]]
