"""Tables of a parsed log as files, with the columns of Caffe's `tools/extra/parse_log.py`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import visible

if TYPE_CHECKING:
    from netc.training.log.parse_log import LogRow, ParsedLog


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

    >>> from netc.training.log.parse_log import LogRow
    >>> table_text([LogRow(10, 0.5, 0.01, {"loss": 2.0})])
    'NumIters,Seconds,LearningRate,loss\n10.0,0.5,0.01,2.0\n'
    """
    names = list(dict.fromkeys(name for row in rows for name in row.outputs))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["NumIters", "Seconds", "LearningRate", *map(visible, names)])
    for row in rows:
        values = [row.outputs.get(name, "") for name in names]
        writer.writerow([float(row.iteration), round(row.seconds, 6), row.rate, *values])
    return text.getvalue()
