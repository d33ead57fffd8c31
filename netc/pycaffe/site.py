"""`import caffe` in an environment, without changes to scripts.

    python -m netc.pycaffe.site            write a module `caffe` into the active environment
    python -m netc.pycaffe.site --remove   remove it

The module is one file, `caffe.py`, that calls `netc.pycaffe.install()`. Where another Caffe is installed, none is
written; a file that netc did not write is never removed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import sysconfig
from pathlib import Path

from netc.diagnostics import NetcError
from netc.files import is_file
from netc.weights import atomic_write

MARK = "# written by netc.pycaffe.site"
TEXT = f"""{MARK}; `python -m netc.pycaffe.site --remove` removes it
from netc.pycaffe import install

install()
"""


def add(folder: Path) -> Path:
    """Write the module into a folder of modules; return its path.

    Raises NetcError E309 if another `caffe` can be imported, E408 if the file cannot be written.
    """
    path = folder / "caffe.py"
    found = importlib.util.find_spec("caffe") if "caffe" not in sys.modules else sys.modules["caffe"].__spec__
    origin = found.origin if found is not None else None
    if found is not None and not (origin and _is_ours(Path(origin))):
        raise NetcError(f"another `caffe` is installed: {origin or found.name}", code="E309")
    with atomic_write(path) as file:
        file.write(TEXT.encode())
    return path


def remove(folder: Path) -> Path:
    """Remove the module from a folder; return its path. Raises NetcError E309 if netc has not written one there."""
    path = folder / "caffe.py"
    if not _is_ours(path):
        raise NetcError(f"there is no `caffe.py` of netc in `{folder}`", code="E309")
    path.unlink()
    return path


def _is_ours(path: Path) -> bool:
    return is_file(path) and path.read_text(encoding="utf-8", errors="replace").startswith(MARK)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m netc.pycaffe.site", description="Let scripts `import caffe`.")
    parser.add_argument("--remove", action="store_true", help="remove the module")
    given = parser.parse_args(arguments)
    folder = Path(sysconfig.get_paths()["purelib"])
    try:
        path = remove(folder) if given.remove else add(folder)
    except NetcError as error:
        print(error.render(), file=sys.stderr)  # noqa: T201
        return 1
    print(f"{'removed' if given.remove else 'wrote'} {path}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
