"""The command line: one file a verb, which parses arguments, calls the library and prints.

Exit status: 0 success, 1 a fault of the input, 2 wrong usage. A verb's module is imported when it is called, so that
`netc check` never waits for torch.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

import click

from netc.cli.output import show
from netc.diagnostics import NetcError

VERBS = {
    "check": "find everything that is wrong with nets and solvers",
    "classify": "tell the classes of pictures",
    "convert": "write a net for others to run",
    "data": "make and look at databases",
    "diff": "compare two nets by what they mean",
    "explain": "tell what the code of a finding means",
    "features": "keep blobs of a net in databases",
    "fmt": "lay prototxts out alike",
    "log": "a training's log as tables",
    "plot": "draw loss, accuracy and learning rate from logs",
    "summary": "shapes, parameters, multiply-adds and memory of a net",
    "surgery": "change a trained net",
    "test": "score a net with trained weights",
    "time": "time each layer, forward and backward",
    "train": "train a net from its solver",
    "upgrade": "write an old net or solver in today's format",
    "verify": "compare two forms of one net, value by value",
    "weights": "list what a weights file holds",
}


class _Verbs(click.Group):
    """Finds a verb in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"netc.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="netc", prog_name="netc")
def netc() -> None:
    """Caffe and Caffe2 networks, checked, trained and converted with PyTorch."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    # Idle threads of torch's OpenMP sleep instead of spinning: with more work on the machine than cores (data readers,
    # another process), spinning makes small nets ten times slower. Read once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        status = netc.main(args=given, prog_name="netc", standalone_mode=False, obj=given)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except NetcError as error:
        show(error.diagnostics)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `netc summary net | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
