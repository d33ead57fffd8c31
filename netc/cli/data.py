"""`netc data VERB`: make and look at databases."""

from __future__ import annotations

import click


@click.group(name="data")
def command() -> None:
    """Make and look at databases."""


@command.command(name="mnist")
@click.argument("images")
@click.argument("labels")
@click.argument("output")
def mnist(images: str, labels: str, output: str) -> None:
    """Make the LMDB folder OUTPUT of a pair of MNIST's IDX files, gzipped or not, as convert_mnist_data does."""
    from netc.data.convert import mnist as convert

    count = convert(images, labels, output)
    click.echo(f"{output}: {count} records")
