"""`netc test NET --weights W`: Score a net with trained weights."""

from __future__ import annotations

import click

from netc.cli.glog import log_listener
from netc.cli.net_options import NetOptions, net_options
from netc.cli.options import option


@click.command(name="test")
@net_options("test")
@option("--all", "all_", is_flag=True, help="Run each record once instead of --iterations batches.")
@option("--skip-bad", is_flag=True, help="Skip records that cannot be read; the log counts them.")
@option("--overwrite", is_flag=True, help="Let layers that write files replace those of others.")
def command(options: NetOptions, all_: bool, skip_bad: bool, overwrite: bool) -> None:
    """Run a net over batches of its own data and print the mean of each output.

    This is Caffe's `caffe test`.
    """
    if not options.weights:
        raise click.UsageError("missing weights: pass `--weights=FILE`")
    from netc.training.evaluation import score, score_all

    files = "any" if overwrite else "own"
    with log_listener() as listener, options.open(listener, skip_bad=skip_bad, files=files) as opened:
        if all_:
            score_all(opened, listener)
        else:
            score(opened, options.iterations, listener)
