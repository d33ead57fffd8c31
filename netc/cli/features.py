"""`netc features WEIGHTS NET BLOBS DATABASES ITERATIONS`: Extract features into databases."""

from __future__ import annotations

from typing import Any

import click

from netc.cli.glog import log_listener
from netc.cli.options import option
from netc.cli.python_layer_option import preparation, python_layers
from netc.cli.state_options import state_options
from netc.cli.terminal import progress_bar, say
from netc.diagnostics import counted


@click.command(name="features")
@click.argument("weights")
@click.argument("net")
@click.argument("blobs")
@click.argument("databases")
@click.argument("iterations", type=click.IntRange(1))
@click.argument("backend", type=click.Choice(["lmdb", "leveldb"]), default="lmdb")
@click.argument("mode", type=click.Choice(["CPU", "GPU"]), required=False)
@click.argument("device", type=click.IntRange(0), default=0)
@option("--gpu", metavar="N", help="Index of the GPU to run on; by default the CPU is used.")
@state_options()
@python_layers
def command(
    weights: str,
    net: str,
    blobs: str,
    databases: str,
    iterations: int,
    backend: str,
    mode: str | None,
    device: int,
    gpu: str | None,
    state: dict[str, Any],
    allow_python_layers: bool,
) -> None:
    """Extract features: run ITERATIONS batches of a net and write BLOBS to DATABASES.

    Each blob is written to a database of its own; separate several blobs and databases by commas. The arguments are
    those of Caffe's extract_features.
    """
    from netc.compiler import state_choice
    from netc.training.feature_extraction import extract

    gpu = str(device) if mode == "GPU" and gpu is None else gpu
    with progress_bar("extracting") as progress, log_listener() as listener:
        counts = extract(
            weights.split(","),
            net,
            blobs.split(","),
            databases.split(","),
            iterations,
            state=state_choice(**state),
            backend=backend,
            gpu=gpu,
            prepare=preparation(allow_python_layers),
            listener=listener,
            progress=progress,
        )
    for database, (blob, count) in zip(databases.split(","), counts.items()):
        say(f"{database}: {counted(count, 'record')} of `{blob}`")
