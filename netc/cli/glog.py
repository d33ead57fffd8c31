"""glog's and gflags' flags and variables, which all of Caffe's tools accept: `--log_dir=logs`, `GLOG_minloglevel=1`.

As in Caffe's tools, the log is written to standard error by default. Files are written only into a folder that
`log_dir` names; glog would also write into /tmp.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from netc.cli.options import FALSE, TRUE
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from netc.training.log.events import Event, Listener

SWITCHES = frozenset(
    """alsologtostderr colorlogtostderr colorlogtostdout drop_log_memory log_file_header log_prefix log_utc_time
    log_year_in_prefix logtostderr logtostdout stop_logging_if_full_disk symbolize_stacktrace
    timestamp_in_logfile_name""".split()
)
VALUES = frozenset(
    """alsologtoemail flagfile fromenv log_backtrace_at log_dir log_link logbuflevel logbufsecs logcleansecs
    logemaillevel logfile_mode logmailer max_log_size minloglevel stderrthreshold tryfromenv undefok v
    vmodule""".split()
)
NUMBERS = frozenset(("minloglevel", "stderrthreshold", "v", "logbufsecs", "max_log_size"))
DEEPEST = 10
"""Maximum depth of `--flagfile` in files of flags."""


@dataclass(frozen=True)
class GlogFlags:
    """The flags that have an effect."""

    log_dir: str = ""
    logtostderr: bool = False
    """Write to standard error instead of files."""
    alsologtostderr: bool = True
    """Write to standard error, whatever the severity."""
    minloglevel: int = 0
    """The lowest severity that is written: 0 information, 1 warnings, 2 errors, 3 nothing."""
    stderrthreshold: int = 2
    """The lowest severity that is always written to standard error."""
    log_prefix: bool = True


@dataclass(frozen=True)
class Invocation:
    """A command line."""

    arguments: Sequence[str]
    """The arguments as given."""
    glog: GlogFlags = GlogFlags()
    program: str = "netc"
    """The name of the program in the names of log files."""


def split_flags(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[GlogFlags, list[str]]:
    """Return glog's flags and the other arguments.

    The variable `GLOG_x` is the default of the flag `x`. `--flagfile=FILE` reads flags, one per line. Raises
    click.UsageError for a flag with an invalid value.

    >>> flags, rest = split_flags(["train", "-log_dir", "logs", "--v=1", "--nolog_prefix", "--gpu=0"], {})
    >>> flags.log_dir, flags.log_prefix, rest
    ('logs', False, ['train', '--gpu=0'])
    """
    # `caffe` sets alsologtostderr itself, after the variables were read.
    given = {name: value for name in SWITCHES | VALUES if (value := environment.get(f"GLOG_{name}")) is not None}
    given.pop("alsologtostderr", None)
    given.setdefault("log_dir", environment.get("GOOGLE_LOG_DIR", ""))
    rest = list(_other_arguments(list(arguments), given, 0))
    return _flags(given), rest


def _other_arguments(arguments: list[str], given: dict[str, str], depth: int) -> Iterator[str]:
    """Yield the arguments that are not flags of glog; store the values of those that are."""
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            yield from [argument, *arguments]
            return
        name, equals, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not argument.startswith("-") or not (name.removeprefix("no") in SWITCHES or name in SWITCHES | VALUES):
            yield argument
        elif name in VALUES:
            if not equals and not arguments:
                raise click.UsageError(f"the flag `{argument}` is missing its value")
            given[name] = value if equals else arguments.pop(0)
            if name == "flagfile":
                yield from _file_arguments(given.pop(name), given, depth)
        elif name in SWITCHES:
            given[name] = value if equals else "true"
        else:
            given[name.removeprefix("no")] = "false"


def _file_arguments(path: str, given: dict[str, str], depth: int) -> Iterator[str]:
    from netc.text import read_source

    if depth >= DEEPEST:
        raise click.UsageError(f"`--flagfile={path}`: files of flags are nested too deeply")
    try:
        text = read_source(path).text
    except NetcError as error:
        raise click.UsageError(error.diagnostics[0].message) from None
    lines = (line.strip() for line in text.splitlines())
    yield from _other_arguments([line for line in lines if line.startswith("-")], given, depth + 1)


def _flags(given: Mapping[str, str]) -> GlogFlags:
    for name in NUMBERS & given.keys():
        if not given[name].lstrip("-").isdecimal():
            raise click.UsageError(f"`{name}`: expected a number, got `{given[name]}`")
    for name in SWITCHES & given.keys():
        if given[name].lower() not in TRUE | FALSE:
            raise click.UsageError(f"`{name}`: expected `true` or `false`, got `{given[name]}`")
    switches = {name: value.lower() in TRUE for name, value in given.items() if name in SWITCHES}
    return GlogFlags(
        given.get("log_dir", ""),
        switches.get("logtostderr", False),
        switches.get("alsologtostderr", True),
        int(given.get("minloglevel", 0)),
        int(given.get("stderrthreshold", 2)),
        switches.get("log_prefix", True),
    )


@contextlib.contextmanager
def log_listener() -> Iterator[Listener]:
    """Yield a listener that writes Caffe's log as the flags of the command line require."""
    from netc.training.log.caffe_log import GlogWriter
    from netc.training.log.events import fan_out, ignore
    from netc.training.log.glog_files import GlogFiles, severity_number

    context = click.get_current_context(silent=True)
    invocation = context.obj if context and isinstance(context.obj, Invocation) else Invocation(())
    flags = invocation.glog
    stderr: Listener = ignore if sys.stderr is None else GlogWriter(sys.stderr, prefixed=flags.log_prefix)
    everything = flags.logtostderr or flags.alsologtostderr

    def console(event: Event) -> None:
        if severity_number(event) >= (0 if everything else flags.stderrthreshold):
            stderr(event)

    with contextlib.ExitStack() as stack:
        listeners: list[Listener] = [console]
        if flags.log_dir and not flags.logtostderr:
            files = GlogFiles(flags.log_dir, invocation.program, stderr, prefixed=flags.log_prefix)
            listeners.append(stack.enter_context(contextlib.closing(files)))
        both = fan_out(listeners)
        yield lambda event: both(event) if severity_number(event) >= flags.minloglevel else None
