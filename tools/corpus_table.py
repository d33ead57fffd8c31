"""Statistics of all prototxts in a folder: parsed, printed back, built, shapes inferred.

    python tools/corpus_table.py FOLDER                 the table, and the number of reports of each code
    python tools/corpus_table.py FOLDER --list E102     also the files with this code, and the first finding of each
    python tools/corpus_table.py FOLDER --shape data=1,3,224,224

A file that is not text in the format counts as not read. Templates with unset placeholders are counted separately. A
net is complete if each of its layers has all shapes in one of the states that its rules distinguish; faulty if one has
not and an error was reported; unknown if the shapes depend on data. Tracebacks are listed, with exit status 1.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netc.cli.options import parse_shapes
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontends import NetDefinition, read
from netc.inspection.net_check import check_net
from netc.inspection.phase_nets import phase_nets
from netc.ir.dims import Shape, known
from netc.ir.graph import State
from netc.ir.shapes import no_probe
from netc.layers import registry
from netc.text import parse, print_tree, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READING = ("E001", "E002", "E003", "E004", "E005", "E006", "E007", "E008", "E009")
"""Codes of errors in the text itself."""
TEMPLATE = "E033"


@dataclass
class Outcome:
    """The result for one file."""

    kind: str = "none"
    """`net`, `solver`, `template`, or `none` for what could not be read."""
    identical: bool = False
    faults: bool = False
    """Whether its text has an error."""
    foreign: bool = False
    """Whether a net has layer types that are not registered."""
    shapes: str = ""
    """For a net: `complete`, `unknown` or `faulty`."""
    found: list[Diagnostic] = field(default_factory=list)


def outcome(path: Path, shapes: Mapping[str, Shape]) -> Outcome:
    """Examine a file. Raises any exception other than NetcError, which is a bug."""
    result = Outcome()
    try:
        source = read_source(path)
        result.identical = print_tree(parse(source)) == source.text
        definition = read(Source(str(path), source.text))
    except NetcError as error:
        result.found = list(error.diagnostics)
        result.kind = "template" if any(d.code == TEMPLATE for d in result.found) else "none"
        result.identical = result.identical or result.kind == "template"
        return result
    result.found = list(definition.report.diagnostics)
    result.kind = definition.kind
    if any(d.code == TEMPLATE for d in result.found):
        result.kind = "template"
    result.faults = any(d.code in READING for d in result.found)
    if isinstance(definition, NetDefinition) and result.kind == "net":
        _shape(definition, shapes, result)
    return result


def _shape(net: NetDefinition, shapes: Mapping[str, Shape], result: Outcome) -> None:
    """Check a net, and whether each of its layers has all shapes in one of its states."""
    result.foreign = any(layer.type not in registry() for layer in net.layers)
    result.found += [d for d in check_net(net, [], net.states(State()), shapes)[0] if d not in result.found]
    nodes = [
        (run.graph, node)
        for run in phase_nets(net, [], net.states(State()), no_probe, shapes)
        for node in run.graph.nodes
    ]
    whole = {node.origin for graph, node in nodes if all(_whole(graph.shape(top)) for top in node.tops)}
    complete = all(layer in whole for layer in net.layers)
    errors = any(d.severity == "error" for d in result.found)
    result.shapes = "complete" if complete else "faulty" if errors else "unknown"


def _whole(shape: Shape | None) -> bool:
    return shape is not None and all(map(known, shape))


def table(outcomes: Mapping[Path, Outcome]) -> Iterator[tuple[str, int]]:
    """The rows: label and count."""
    every = list(outcomes.values())
    nets = [o for o in every if o.kind == "net"]
    own = [o for o in nets if not o.foreign]
    yield "files", len(every)
    yield "  not read", sum(o.kind == "none" for o in every)
    yield "  templates", sum(o.kind == "template" for o in every)
    yield "  solvers", sum(o.kind == "solver" for o in every)
    yield "  nets", len(nets)
    yield "read without an error in the text", sum(o.kind in ("net", "solver") and not o.faults for o in every)
    yield "printed back identical", sum(o.identical for o in every)
    yield "nets of known layer types", len(own)
    for word in ("complete", "unknown", "faulty"):
        yield f"  {word}", sum(o.shapes == word for o in own)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Statistics of all prototxts in a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", action="append", default=[], metavar="BLOB=N,C,H,W")
    parser.add_argument("--list", action="append", default=[], metavar="CODE", help="list the files with this code")
    given = parser.parse_args(arguments)
    shapes, outcomes, crashed = parse_shapes(given.shape), {}, []
    for path in sorted(p for p in given.folder.rglob("*") if p.suffix in (".prototxt", ".pbtxt", ".pt", ".txt")):
        try:
            outcomes[path] = outcome(path, shapes)
        except Exception:
            crashed.append(path)
            print(f"{path}\n{traceback.format_exc()}")
    for label, number in table(outcomes):
        print(f"{label:36}{number:6}")
    print(f"{'tracebacks':36}{len(crashed):6}\n")
    _codes(outcomes, given.list)
    return int(bool(crashed))


def _codes(outcomes: Mapping[Path, Outcome], listed: list[str]) -> None:
    """Print the number of reports of each code, and the files of the listed codes."""
    total: Counter[str] = Counter()
    files: dict[str, dict[Path, Diagnostic]] = defaultdict(dict)
    for path, result in outcomes.items():
        for found in result.found:
            total[found.code] += 1
            files[found.code].setdefault(path, found)
    print(f"{'code':8}{'files':>6}{'places':>8}")
    for code in sorted(total):
        print(f"{code:8}{len(files[code]):6}{total[code]:8}")
    for code in listed:
        for path, found in files[code].items():
            print(f"{code} {path}:{found.line}: {found.message}")


if __name__ == "__main__":
    sys.exit(main())
