"""What becomes of every prototxt of a folder: read, printed back, built, shaped.

    python tools/corpus_table.py FOLDER                 the table, and how often each code was reported
    python tools/corpus_table.py FOLDER --list E102     also the files with this code, and the first finding of each
    python tools/corpus_table.py FOLDER --shape data=1,3,224,224

A file that is no text in the format counts as not read. Templates, whose places nothing fills, are counted apart. A net
is complete where each of its layers has all its shapes in one of the states that its rules tell apart; faulty where one
has not and an error was reported; unknown where only the data would tell. No traceback is ever right: those are listed,
with exit status 1.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

READING = ("E001", "E002", "E003", "E004", "E005", "E006", "E007", "E008", "E009")
"""Codes of faults in the text itself."""
TEMPLATE = "E033"


@dataclass
class Outcome:
    """One file."""

    kind: str = "none"
    """`net`, `solver`, `template`, or `none` for what could not be read."""
    identical: bool = False
    faults: bool = False
    """Whether its text has a fault."""
    foreign: bool = False
    """Whether a net has layer types that are not registered."""
    shapes: str = ""
    """Of a net: `complete`, `unknown` or `faulty`."""
    found: list[Diagnostic] = field(default_factory=list)


def outcome(path: Path, shapes: Mapping[str, Shape]) -> Outcome:
    """All that is to be said of a file. Raises whatever is a fault of the program."""
    made = Outcome()
    try:
        source = read_source(path)
        made.identical = print_tree(parse(source)) == source.text
        definition = read(Source(str(path), source.text))
    except NetcError as error:
        made.found = list(error.diagnostics)
        made.kind = "template" if any(d.code == TEMPLATE for d in made.found) else "none"
        made.identical = made.identical or made.kind == "template"
        return made
    made.found = list(definition.report.diagnostics)
    made.kind = definition.kind
    if any(d.code == TEMPLATE for d in made.found):
        made.kind = "template"
    made.faults = any(d.code in READING for d in made.found)
    if isinstance(definition, NetDefinition) and made.kind == "net":
        _shape(definition, shapes, made)
    return made


def _shape(net: NetDefinition, shapes: Mapping[str, Shape], made: Outcome) -> None:
    """What is wrong with a net, and whether each of its layers has all shapes in one of its states."""
    made.foreign = any(layer.type not in registry() for layer in net.layers)
    made.found += [d for d in check_net(net, [], net.states(State()), shapes)[0] if d not in made.found]
    nodes = [
        (run.graph, node)
        for run in phase_nets(net, [], net.states(State()), no_probe, shapes)
        for node in run.graph.nodes
    ]
    whole = {node.origin for graph, node in nodes if all(_whole(graph.shape(top)) for top in node.tops)}
    complete = all(layer in whole for layer in net.layers)
    errors = any(d.severity == "error" for d in made.found)
    made.shapes = "complete" if complete else "faulty" if errors else "unknown"


def _whole(shape: Shape | None) -> bool:
    return shape is not None and all(map(known, shape))


def table(outcomes: Mapping[Path, Outcome]) -> Iterator[tuple[str, int]]:
    """The rows: what, and how many."""
    every = list(outcomes.values())
    nets = [o for o in every if o.kind == "net"]
    own = [o for o in nets if not o.foreign]
    yield "files", len(every)
    yield "  not read", sum(o.kind == "none" for o in every)
    yield "  templates", sum(o.kind == "template" for o in every)
    yield "  solvers", sum(o.kind == "solver" for o in every)
    yield "  nets", len(nets)
    yield "read without a fault in the text", sum(o.kind in ("net", "solver") and not o.faults for o in every)
    yield "printed back identical", sum(o.identical for o in every)
    yield "nets of known layer types", len(own)
    for word in ("complete", "unknown", "faulty"):
        yield f"  {word}", sum(o.shapes == word for o in own)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What becomes of every prototxt of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", action="append", default=[], metavar="BLOB=N,C,H,W")
    parser.add_argument("--list", action="append", default=[], metavar="CODE", help="show the files with this code")
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
    """How often each code was reported, and where."""
    total: Counter[str] = Counter()
    files: dict[str, dict[Path, Diagnostic]] = defaultdict(dict)
    for path, made in outcomes.items():
        for found in made.found:
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
