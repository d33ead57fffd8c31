"""`netc caffe COMMAND`: Run a command of `caffe` with Caffe's flags."""

from __future__ import annotations

from typing import Any

import click

USED = {
    "train": "solver snapshot weights gpu level stage sigint_effect sighup_effect".split(),
    "test": "model weights gpu level stage iterations".split(),
    "time": "model weights gpu phase level stage iterations".split(),
    "device_query": ["gpu"],
}
"""The flags that each command uses (`caffe.cpp`); the others are accepted and ignored."""
FLAGS = frozenset(name for used in USED.values() for name in used)


class _Arguments(click.Command):
    """Leaves all arguments to the command: gflags accepts flags before it, and `-weights` is not `-w -e -i ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command."""
        if not args or args[0] in ("-h", "-help", "--help"):
            click.echo(ctx.get_help())
            ctx.exit(0 if args else 2)
        ctx.params["arguments"] = args
        return args


@click.command(name="caffe", cls=_Arguments)
@click.argument("arguments", metavar="train|test|time|device_query [FLAGS]", nargs=-1)
@click.pass_context
def command(context: click.Context, arguments: list[str]) -> Any:
    """Run a command of `caffe`: train, test, time or device_query.

    Flags have Caffe's spellings, and may precede the command. Flags of other commands are ignored, as by Caffe, with a
    warning. The program `caffe` that is installed with netc is the same.
    """
    from netc.cli import netc

    verb, rest = translated(arguments)
    return netc.main(args=[verb, *rest], prog_name="netc", standalone_mode=False, obj=context.obj)


def translated(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the verb and the arguments of netc for arguments of `caffe`. Raises click.UsageError.

    >>> translated(["-gpu", "0", "train", "--solver=s.prototxt", "--sighup_effect", "stop"])
    ('train', ['--gpu=0', '--solver=s.prototxt', '--sighup_effect=stop'])
    >>> translated(["--deterministic", "train", "s.prototxt"])
    ('train', ['--deterministic', 's.prototxt'])
    """
    flags: list[tuple[str, str]] = []
    others: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or name not in FLAGS:
            others.append(argument)
        elif equals or waiting:
            flags.append((name, value if equals else waiting.pop(0)))
        else:
            raise click.UsageError(f"the flag `{argument}` is missing its value")
    verb = next((word for word in others if not word.startswith("-")), "")
    if verb not in USED:
        found = f", got `{verb}`" if verb else ""
        raise click.UsageError(f"expected the command {', '.join(USED)}{found}")
    others.remove(verb)
    for name in dict.fromkeys(name for name, _ in flags if name not in USED[verb]):
        click.echo(f"warning: `caffe {verb}` ignores `--{name}`", err=True)
    return verb, [*(f"--{name}={value}" for name, value in flags if name in USED[verb]), *others]
