"""`netc run [SCRIPT | -m MODULE | -c CODE] ARGUMENTS...`: Run a Python script that imports caffe."""

from __future__ import annotations

import code
import runpy
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from netc.cli.options import option
from netc.diagnostics import NetcError
from netc.files import is_file, is_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


@click.command(name="run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@option("-m", "module", metavar="MODULE", help="Run a module, as `python -m` does.")
@option("-c", "text", metavar="CODE", help="Run a program passed as text.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(module: str | None, text: str | None, arguments: tuple[str, ...]) -> int:
    """Run a Python script in which `import caffe` imports netc.pycaffe; without a script, an interactive prompt.

    The script is not changed. Its arguments, exit status and exceptions are those of `python SCRIPT`.
    """
    from netc.pycaffe import install

    install()
    if module is not None:
        return _run("-m", arguments, lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))
    if text is not None:
        return _run("-c", arguments, lambda: _execute(text, "<string>"))
    if not arguments:
        return _prompt()
    script, *rest = arguments
    if script == "-":
        return _run("-", tuple(rest), lambda: _execute(sys.stdin.read(), "<stdin>"))
    if not is_file(script) and not is_folder(script):
        raise NetcError(f"cannot run `{script}`: no such file", missing=True)
    folder = str(Path(script).resolve().parent)
    return _run(script, tuple(rest), lambda: runpy.run_path(script, run_name="__main__"), folder)


def _run(name: str, arguments: tuple[str, ...], program: Callable[[], object], folder: str = "") -> int:
    """Run a program with its `sys.argv` and `sys.path`; return its exit status."""
    argv, path = sys.argv, sys.path
    sys.argv, sys.path = [name, *arguments], [folder, *path]
    try:
        program()
    except SystemExit as end:
        return _status(end.code)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what Python would show and end with
        traceback.print_exception(type(error), error, _own_frames(error))
        return 1
    finally:
        sys.argv, sys.path = argv, path
    return 0


def _own_frames(error: BaseException) -> TracebackType | None:
    """The traceback of an error from the program's first line on."""
    found = error.__traceback__
    skipped = (__file__, runpy.__file__)
    while found is not None and (
        found.tb_frame.f_code.co_filename in skipped or found.tb_frame.f_code.co_filename.startswith("<frozen runpy")
    ):
        found = found.tb_next
    return found


def _status(value: object) -> int:
    """The exit status of `sys.exit(value)`: a text is printed and means 1."""
    if value is None or isinstance(value, int):
        return int(value or 0)
    print(value, file=sys.stderr)  # noqa: T201
    return 1


def _execute(text: str, name: str) -> None:
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(compile(text, name, "exec"), vars(main))


def _prompt() -> int:
    """Read and run lines until the end of the input."""
    if not sys.stdin.isatty():
        return _run("", (), lambda: _execute(sys.stdin.read(), "<stdin>"))
    import caffe

    code.interact(f"Python {sys.version}; `caffe` is netc.pycaffe", local={"caffe": caffe}, exitmsg="")
    return 0
