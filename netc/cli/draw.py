"""`netc draw NET OUT`: Draw the graph of a net."""

from __future__ import annotations

import click

from netc.cli.options import option
from netc.cli.terminal import say, show
from netc.diagnostics import counted

PHASES = {"TRAIN": 0, "TEST": 1, "ALL": None}


@click.command(name="draw")
@click.argument("net", metavar="NET")
@click.argument("output", metavar="OUT")
@option(
    "--rankdir",
    type=click.Choice(["LR", "RL", "TB", "BT"]),
    default="LR",
    show_default=True,
    help="Direction of the graph: left to right, top to bottom, ...",
)
@option(
    "--phase",
    type=click.Choice(list(PHASES), case_sensitive=False),
    default="ALL",
    show_default=True,
    help="The layers to draw.",
)
@option("--display-lrm", is_flag=True, help="Show the learning rate multipliers of layers.")
def command(net: str, output: str, rankdir: str, phase: str, display_lrm: bool) -> None:
    """Draw the layers and blobs of a net; the suffix of OUT is the format: .png, .svg, .pdf, .dot.

    NET is a prototxt in any format, or a .caffemodel. Needs pydot (extra `draw`) and Graphviz.
    """
    from netc.pycaffe.draw import draw_net_to_file
    from netc.rewriting import net_message

    message, warnings = net_message(net)
    show(warnings)
    draw_net_to_file(message, output, rankdir, PHASES[phase.upper()], display_lrm)
    say(f"{output}: {counted(len(message.layer), 'layer')}")
