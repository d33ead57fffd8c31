"""The import table of netc/ARCHITECTURE.md, and what may not be imported where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "netc"
FILES = sorted(path for path in PACKAGE.rglob("*.py"))


def allowed_imports() -> dict[str, set[str]]:
    """The table in ARCHITECTURE.md: `| part | may import |` rows."""
    table = {}
    for line in (PACKAGE / "ARCHITECTURE.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3 and cells[2] != "may import":
            names = cells[2].replace("`", "").replace(",", " ").split()
            table[cells[0].strip("`")] = {name for name in names if name != "nothing"}
    return table


def part(module: str) -> str:
    """`netc.ir.graph` is of part `ir`; the package itself is `netc`."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "netc"


def module_name(path: Path) -> str:
    pieces = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)


@cache
def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules a file imports; `if TYPE_CHECKING:` does not count, functions only where `everywhere`."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child)
            return
        if not everywhere and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where a name comes from"
            found.add(node.module or "")
            if node.module == "netc":
                found.update(f"netc.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def test_imports_go_one_way():
    table = allowed_imports()
    assert {part(module_name(path)) for path in FILES} <= set(table), "ARCHITECTURE.md does not list a part"
    for path in FILES:
        own = part(module_name(path))
        foreign = {part(name) for name in imports(path) if name.startswith("netc.")} - {own, "__version__"}
        assert foreign <= table[own], f"{path}: {own} may not import {sorted(foreign - table[own])}"


def test_the_table_has_no_cycle():
    table = allowed_imports()
    done: set[str] = set()
    while len(done) < len(table):
        ready = {name for name, uses in table.items() if name not in done and uses & set(table) <= done}
        assert ready, f"these import each other: {sorted(set(table) - done)}"
        done |= ready


def named_paths() -> list[str]:
    """The paths in ARCHITECTURE.md, from the repository's root; `<name>` is a placeholder."""
    words = re.findall(r"`([\w<>/.-]+(?:/|\.(?:py|md|proto)))`", (PACKAGE / "ARCHITECTURE.md").read_text())
    roots = ("netc/", "tests/", "tools/", "proto/", "models/")
    return sorted({word if word.startswith(roots) else f"netc/{word}" for word in words if "/" in word})


def test_a_path_that_the_documentation_names_exists():
    assert not [path for path in named_paths() if not list(ROOT.glob(re.sub(r"<\w+>", "*", path)))]


def test_the_documentation_names_every_part():
    text = (PACKAGE / "ARCHITECTURE.md").read_text()
    files = [file.stem if file.suffix else file.name for file in PACKAGE.iterdir()]
    parts = {name for name in files if name.islower() and name not in ("errors", "__init__", "py")}
    assert not {name for name in parts if name != "__pycache__" and f"| `{name}` |" not in text}


NO_TORCH = ("diagnostics", "schema", "text", "weights", "ir", "layers", "frontends", "passes", "compiler", "inspection")


def of_parts(*parts: str) -> list[Path]:
    return [path for path in FILES if part(module_name(path)) in parts]


def test_torch_is_not_imported_with_the_module():
    found = {path: {name.split(".")[0] for name in imports(path, everywhere=False)} for path in of_parts(*NO_TORCH)}
    assert not [path for path, roots in found.items() if "torch" in roots]


def test_ir_and_layers_know_no_protobuf():
    files = of_parts("ir", "layers", "passes")
    found = {path: {".".join(name.split(".")[:2]) for name in imports(path)} for path in files}
    banned = {"google.protobuf", "google", "netc.schema", "netc.text"}
    assert not {path: roots & banned for path, roots in found.items() if roots & banned}


def test_runtime_imports_neither_layers_nor_schema():
    assert not allowed_imports()["runtime"] & {"layers", "schema", "text"}


@pytest.mark.parametrize("verb", ["check", "summary"])
def test_verbs_that_never_wait_for_torch(verb):
    code = (
        "import sys; from netc.cli import main; status = main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules; sys.exit(status)"
    )
    net = str(ROOT / "models" / "lenet" / "train_val.prototxt")
    done = subprocess.run([sys.executable, "-c", code, verb, net], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_file_is_too_long_to_read():
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 400 and "schema" not in p.parts}
    assert not long, "300 lines are the guideline, 400 the bound"


OWN = {module_name(path): path for path in FILES}


def imported_files(path: Path) -> set[str]:
    """The modules of this package that a file imports, in functions and for type checkers too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in OWN else str(node.module) for name in full)
    return found & OWN.keys() - {module_name(path)}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules that import each other (strongly connected components of more than one)."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen, waiting = set(), list(edges[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += edges.get(name, ())
        reached[start] = seen
    within = (sorted({name for name in reached[start] if start in reached.get(name, ())}) for start in edges)
    return [list(circle) for circle in sorted({tuple(names) for names in within if len(names) > 1})]


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]


def test_no_files_import_each_other():
    """Packages import their own files by name for the caller's convenience: those are not counted."""
    edges = {name: imported_files(path) for name, path in OWN.items() if path.name != "__init__.py"}
    assert not circles(edges)


def test_every_public_class_has_a_name_of_its_own():
    homes: dict[str, list[str]] = {}
    for name, path in OWN.items():
        if "schema" in path.parts or name.startswith("netc.pycaffe"):
            continue  # generated; and a facade with the names that Caffe's users know
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name)
    assert not {name: found for name, found in homes.items() if len(found) > 1}


def test_no_module_is_a_drawer():
    assert not [p for p in FILES if p.stem in ("utils", "util", "common", "helpers", "misc")]


def test_only_the_front_ends_know_their_formats():
    """`netc.frontends.caffe` and its like are known to `netc.frontends.reading` and `.writing` alone."""
    dialects = [folder.name for folder in (PACKAGE / "frontends").iterdir() if (folder / "__init__.py").exists()]
    inside = tuple(f"netc.frontends.{dialect}" for dialect in dialects)
    tools = sorted((ROOT / "tools").rglob("*.py"))
    outside = [path for path in (*FILES, *tools) if PACKAGE / "frontends" not in path.parents]
    assert inside
    assert not {str(path): names for path in outside if (names := {n for n in imports(path) if n.startswith(inside)})}
    generic = [path for path in (PACKAGE / "frontends").glob("*.py") if path.stem not in ("reading", "writing")]
    assert not {str(path): names for path in generic if (names := {n for n in imports(path) if n.startswith(inside)})}


def test_whether_a_file_exists_is_asked_in_one_place():
    """Path.exists and its like raise for a name that is too long, and names come from files."""
    raising = "training/solver/snapshot_prefix.py"  # reports that error
    allowed = {PACKAGE / name for name in ("files.py", "weights/hdf5_file.py", raising)}
    question = re.compile(r"\.(?:exists|is_file|is_dir|isfile|isdir)\(")
    assert not [path for path in FILES if path not in allowed and question.search(path.read_text())]
