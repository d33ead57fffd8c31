"""`netc explain CODE`: what a finding means, an example, what to do."""

from __future__ import annotations

import click

from netc.cli.output import option
from netc.inspection import explain
from netc.inspection.error_pages import codes


@click.command(name="explain")
@click.argument("code", required=False)
@option("--list", "listed", is_flag=True, help="List all codes.")
def command(code: str | None, listed: bool) -> None:
    """Explain the code of an error or a warning."""
    if code is None and not listed:
        raise click.UsageError("give a code, or --list")
    if listed:
        click.echo("\n".join(f"{name}  {heading}" for name, heading in codes().items()))
    else:
        click.echo(explain(code or ""), nl=False)
