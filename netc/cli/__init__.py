"""The command line: one file per verb, which parses arguments, calls the library and prints.

A module of this package is a verb if its first line is its usage and one line of help:

    '''`netc check FILE...`: Find all errors in nets and solvers.

and `command` is its click command. Verbs are listed by these lines and imported only when they are called, so that
`netc check` never imports torch. Exit status: 0 success, 1 an error in the input, 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netc.cli.standard_streams import run_process
from netc.cli.terminal import show
from netc.diagnostics import NetcError, NetcWarning
from netc.host_memory import memory_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_USAGE = re.compile(r'"""`netc (\w+)[^`]*`: (.+?)\.?(?:""")?\s*$')


def verb_help(path: Path) -> str | None:
    """Return the one-line help of the verb in a file, None for a file without a verb."""
    with path.open(encoding="utf-8") as file:
        match = _USAGE.match(file.readline())
    return match[2] if match and match[1] == path.stem else None


class _Verbs(click.Group):
    """Finds a verb in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(path.stem for path in _files() if verb_help(path))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if not any(path.stem == name and verb_help(path) for path in _files()):
            return None
        command: click.Command = importlib.import_module(f"netc.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List verbs without importing them."""
        found = {path.stem: verb_help(path) for path in _files()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in sorted(found.items()) if text])


def _files() -> list[Path]:
    return list(Path(__file__).parent.glob("[!_]*.py"))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="netc", prog_name="netc")
def netc() -> None:
    """Check, train, run and convert Caffe and Caffe2 networks with PyTorch."""


@contextlib.contextmanager
def _shown_warnings() -> Iterator[None]:
    """Show the warnings of the library as diagnostics."""
    with warnings.catch_warnings():
        otherwise = warnings.showwarning

        def shown(message: Warning | str, *place: Any, **named: Any) -> None:
            if isinstance(message, NetcWarning):
                show([message.diagnostic])
            else:
                otherwise(message, *place, **named)

        warnings.simplefilter("always", NetcWarning)
        warnings.showwarning = shown
        yield


def process() -> int:
    """Run the command line of this process and return its exit status."""
    return run_process(main)


def caffe_process() -> int:
    """Run the command line of this process as one of `caffe`."""
    return run_process(lambda: main(["caffe", *sys.argv[1:]]))


LOGGING_VERBS = frozenset(("caffe", "data", "device_query", "features", "test", "time", "train"))
"""The verbs that are tools of Caffe, which accept glog's flags."""


def _run(arguments: list[str]) -> Any:
    """Run a command line; return what its verb returns. Raises NetcError and click.ClickException."""
    from netc.cli.glog import Invocation, split_flags

    invocation, given = Invocation(arguments), arguments
    if arguments and (arguments[0] in LOGGING_VERBS or arguments[0].startswith("-")):
        flags, rest = split_flags(arguments)
        verb = next((one for one in rest if not one.startswith("-")), "")
        if verb in LOGGING_VERBS:
            given, invocation = rest, Invocation(arguments, flags, "caffe" if verb == "caffe" else "netc")
    return netc.main(args=given, prog_name="netc", standalone_mode=False, obj=invocation)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    # Idle threads of torch's OpenMP sleep instead of spinning: with more busy threads than cores (data readers,
    # another process), spinning makes small nets ten times slower. torch reads the variable when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        with memory_errors(), _shown_warnings():
            status = _run(given)
        return status if isinstance(status, int) else 0
    except NetcError as error:
        show(error.diagnostics)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # click turns any EOFError into an Abort: it is not an interrupt
            raise error.__cause__ from None
        return 128 + signal.SIGINT
    except Exception as error:
        from netc.ir.verify import REPORT

        if not isinstance(error, OSError) and REPORT not in getattr(error, "__notes__", ()):
            error.add_note(REPORT)
        raise
