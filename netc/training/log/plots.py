"""Plots of training runs: loss, accuracy and learning rate over iterations or time, from logs.

Needs the package `matplotlib` (extra `plot`). Never imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netc.training.log.parse_log import LogRow, ParsedLog

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito, which is distinguishable with color vision deficiency."""
STYLES = ("-", "--", ":", "-.")
FORMATS = (".png", ".svg", ".pdf")
PANELS = ("loss", "accuracy", "learning rate")
MAX_MARKERS = 40
"""The largest number of points that are drawn with markers."""


@dataclass(frozen=True)
class Series:
    """One line of a plot."""

    panel: str
    """One of PANELS; `accuracy` is for all outputs that are not losses."""
    net: int
    """0 is the train net, 1 and up are the test nets."""
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def series_of(log: ParsedLog, seconds: bool = False) -> Iterator[Series]:
    """Yield the lines of one run, over iterations or over seconds.

    Only displays and tests have a time: without displays, the averaged loss and the learning rate are omitted from a
    plot over time.
    """
    times = {row.iteration: row.seconds for row in log.train}

    def place(panel: str, label: str, values: dict[int, float]) -> Iterator[Series]:
        kept = {at: value for at, value in values.items() if not seconds or at in times}
        if kept:
            x = tuple(times[at] if seconds else float(at) for at in kept)
            yield Series(panel, 0, label, x, tuple(kept.values()))

    yield from place("loss", "train", log.losses)
    yield from _outputs(log, log.train, 0, "train", seconds)
    for index, rows in sorted(log.tests.items()):
        yield from _outputs(log, rows, index + 1, f"test {index}" if len(log.tests) > 1 else "test", seconds)
    yield from place("learning rate", "", log.rates)


def draw(
    logs: Sequence[ParsedLog], path: str | Path, *, seconds: bool = False, logarithmic: bool = False
) -> list[Series]:
    """Plot runs into one PNG, SVG or PDF, one color per run; return the lines that were drawn.

    A plot of a single run has one color per net. `seconds` puts time on the x axis, `logarithmic` uses a logarithmic
    axis for the loss. Raises NetcError E633 without matplotlib, E634 for another file extension, E631 for logs with
    nothing to plot, E408 for a file that cannot be written.
    """
    if Path(path).suffix.lower() not in FORMATS:
        known = ", ".join(f"`{ending}`" for ending in FORMATS)
        raise NetcError(f"`{path}`: the file extension of a plot must be one of {known}", code="E634")
    figure_module = import_extra("matplotlib.figure", "plot", "drawing", "matplotlib")
    runs = [list(series_of(log, seconds)) for log in logs]
    panels = [panel for panel in PANELS if any(line.panel == panel for lines in runs for line in lines)]
    if not panels:
        raise NetcError("the logs contain nothing to plot", code="E631")
    figure = figure_module.Figure(figsize=(9, 1.2 + 2.8 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, axis in zip(panels, axes):
        _panel(axis, panel, [[line for line in lines if line.panel == panel] for lines in runs], _names(logs))
        if panel == "loss" and logarithmic:
            axis.set_yscale("log")
    axes[-1].set_xlabel("seconds" if seconds else "iteration")
    if len(logs) == 1:
        figure.suptitle(logs[0].name)
    _save(figure, Path(path))
    return [line for lines in runs for line in lines]


def _outputs(log: ParsedLog, rows: Sequence[LogRow], net: int, name: str, seconds: bool) -> Iterator[Series]:
    for column in dict.fromkeys(column for row in rows for column in row.outputs):
        is_loss = column in log.weighted
        if is_loss and not net and len(log.weighted) == 1 and log.losses:
            continue  # the averaged loss shows the same
        points = [(row.seconds if seconds else float(row.iteration), row.outputs[column])
                  for row in rows if column in row.outputs]  # fmt: skip
        x, y = zip(*points)
        yield Series("loss" if is_loss else "accuracy", net, f"{name}, {column}", x, y)


def _panel(axis: Any, panel: str, runs: Sequence[Sequence[Series]], names: Sequence[str]) -> None:
    single = len(runs) == 1
    for run, lines in enumerate(runs):
        for number, line in enumerate(lines):
            label = ", ".join(part for part in ("" if single else names[run], line.label) if part)
            index = [other.net for other in lines[:number]].count(line.net)
            axis.plot(
                line.x,
                line.y,
                color=COLORS[(line.net if single else run) % len(COLORS)],
                linestyle=STYLES[(index if single else number) % len(STYLES)],
                linewidth=1.4,
                marker="o" if len(line.x) <= MAX_MARKERS else None,
                markersize=3,
                label=label,
            )
    axis.set_ylabel(panel)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if any(line.label for lines in runs for line in lines) or not single:
        axis.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _names(logs: Sequence[ParsedLog]) -> list[str]:
    """Return the names of the files; equal names are numbered."""
    names = [log.name for log in logs]
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _save(figure: Any, path: Path) -> None:
    from netc.weights.atomic import atomic_write  # imports NumPy

    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
