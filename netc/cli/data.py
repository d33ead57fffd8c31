"""`netc data VERB`: Create and inspect databases."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import SwitchCommand, option, switch
from netc.cli.terminal import progress_bar, show
from netc.diagnostics import counted

if TYPE_CHECKING:
    from netc.data.tools.database_report import DatabaseReport
    from netc.data.tools.image_database import Conversion, ImageSettings

SHOWN_LABELS = 20
"""Lines of a label histogram."""
BACKENDS = click.Choice(["lmdb", "leveldb"])


@click.group(name="data")
def command() -> None:
    """Make databases, and look at them.

    What is made is what Caffe's tools make, and appears under its name when it is complete.
    """


def _backend() -> Callable[[Any], Any]:
    return option("--backend", type=BACKENDS, default="lmdb", show_default=True, help="Kind of database to write.")


def _threads() -> Callable[[Any], Any]:
    return option("--threads", type=click.IntRange(1), help="Threads that work; one a core without it.")


def _skip_bad() -> Callable[[Any], Any]:
    return option("--skip-bad", is_flag=True, help="Leave out what cannot be read, and say how much that was.")


def _image_options(function: Any) -> Any:
    """The flags of convert_imageset."""
    for one in (
        switch("--gray", help="One plane an image."),
        option("--resize-height", type=click.IntRange(0), default=0, help="Resize to this height."),
        option("--resize-width", type=click.IntRange(0), default=0, help="Resize to this width."),
        switch("--check-size", help="All images must come out in one size."),
        switch("--encoded", help="Keep images compressed."),
        option("--encode-type", default="", metavar="png|jpg|...", help="Compress as this; implies --encoded."),
        option("--seed", type=int, help="What --shuffle goes by."),
        _backend(),
        _threads(),
        _skip_bad(),
    ):
        function = one(function)
    return function


def _settings(options: dict[str, Any]) -> ImageSettings:
    from netc.data.tools.image_database import ImageSettings

    height, width = options.pop("resize_height"), options.pop("resize_width")
    own = {name: options.pop(name) for name in ("gray", "check_size", "encoded", "encode_type")}
    return ImageSettings(height=height, width=width, **own)


@command.command(name="images", cls=SwitchCommand)
@click.argument("list_file", metavar="LISTFILE")
@click.argument("root")
@click.argument("output")
@switch("--shuffle", help="Take the list in another order.")
@_image_options
def images(list_file: str, root: str, output: str, **options: Any) -> None:
    """Make a database of the images that LISTFILE names, as convert_imageset does.

    A line is a path and a whole number; ROOT stands before each path. Caffe's order, ROOT LISTFILE OUTPUT, is
    understood where ROOT is a folder.
    """
    from netc.data.tools.image_database import convert_images

    if os.path.isdir(list_file) and not os.path.isdir(root):
        list_file, root = root, list_file
    settings = _settings(options)
    with progress_bar("converting") as progress:
        done = convert_images(list_file, root, output, settings, progress=progress, **options)
    _report(output, done)


@command.command(name="folder", cls=SwitchCommand)
@click.argument("folder")
@click.argument("output")
@option("--labels", metavar="FILE", help="Where class names go, one a line; OUTPUT_labels.txt without it.")
@option("--shuffle/--no-shuffle", default=True, help="Mix the classes, or keep them in order.", show_default=True)
@_image_options
def folder(folder: str, output: str, seed: int | None, **options: Any) -> None:
    """Make a database of class folders, as ImageNet is laid out.

    Classes count from 0 in the order of their names.
    """
    from netc.data.tools.image_database import convert_folder, labels_beside

    settings = _settings(options)
    with progress_bar("converting") as progress:
        done, classes = convert_folder(folder, output, settings, seed=seed or 0, progress=progress, **options)
    _report(output, done)
    click.echo(f"{options['labels'] or labels_beside(output)}: {counted(len(classes), 'class')}")


def _report(output: str, done: Conversion) -> None:
    show(done.skipped)
    skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
    click.echo(f"{output}: {counted(done.written, 'record')}{skipped}")


@command.command(name="mean")
@click.argument("database")
@click.argument("output", required=False)
@option("--backend", type=BACKENDS, help="Understood, and not needed: the files tell.", expose_value=False)
@_threads()
@_skip_bad()
def mean(database: str, output: str | None, threads: int | None, skip_bad: bool) -> None:
    """Write the mean image of DATABASE to the .binaryproto file OUTPUT, as compute_image_mean does."""
    from netc.data.tools.mean_image import mean_image

    with progress_bar("adding up") as progress:
        found = mean_image(database, output, skip_bad=skip_bad, threads=threads, progress=progress)
    click.echo(f"Processed {found.images} files.")
    if found.skipped:
        click.echo(f"Skipped {found.skipped} files.")
    if output:
        click.echo(f"Write to {output}")
    click.echo(f"Number of channels: {len(found.channels)}")
    for channel, value in enumerate(found.channels):
        click.echo(f"mean_value channel [{channel}]:{value:g}")


@command.command(name="mnist")
@click.argument("images")
@click.argument("labels")
@click.argument("output")
@_backend()
def mnist(images: str, labels: str, output: str, backend: str) -> None:
    """Make a database of a pair of MNIST's IDX files, gzipped or not, as convert_mnist_data does."""
    from netc.data.tools.mnist_and_cifar import mnist as convert

    with progress_bar("converting") as progress:
        count = convert(images, labels, output, backend, progress)
    click.echo(f"{output}: {counted(count, 'record')}")


@command.command(name="cifar10")
@click.argument("folder")
@click.argument("output_folder")
@click.argument("kind", metavar="[BACKEND]", required=False, type=BACKENDS)
@_backend()
def cifar10(folder: str, output_folder: str, kind: str | None, backend: str) -> None:
    """Make databases of CIFAR-10's binary version, as convert_cifar_data does.

    BACKEND is Caffe's way to write --backend.
    """
    from netc.data.tools.mnist_and_cifar import cifar10 as convert

    backend = kind or backend
    with progress_bar("converting") as progress:
        counts = convert(folder, output_folder, backend, progress)
    for part, count in counts.items():
        click.echo(f"{os.path.join(output_folder, f'cifar10_{part}_{backend}')}: {counted(count, 'record')}")


@command.command(name="show")
@click.argument("database")
@option("--limit", type=click.IntRange(1), help="Look at so many records only.")
@option("--sheet", metavar="PNG", help="Write a contact sheet.")
@option("--count", type=click.IntRange(1), default=64, show_default=True, help="Images on the sheet.")
@_threads()
def show_(database: str, limit: int | None, sheet: str | None, count: int, threads: int | None) -> int:
    """Print what a database holds: records, shapes, labels. Exit status 1 where records cannot be read."""
    from netc.data.tools.contact_sheet import contact_sheet
    from netc.data.tools.database_report import inspect_database

    with progress_bar("looking") as progress:
        found = inspect_database(database, limit=limit, threads=threads, progress=progress)
    click.echo("\n".join(_described(found)))
    if sheet:
        click.echo(f"{sheet}: {contact_sheet(database, sheet, count)} images")
    return int(bool(found.faults))


def _described(found: DatabaseReport) -> list[str]:
    looked = "" if found.examined == found.records else f", {found.examined} of them looked at"
    lines = [f"{found.name}: {found.backend}, {counted(found.records, 'record')}{looked}, {found.bytes:,} bytes"]
    readable = found.examined - len(found.faults)
    lines.append(f"images: {found.encoded} compressed, {found.floats} of floats, {len(found.faults)} not readable")
    lines += [f"shape {'x'.join(map(str, shape))}: {count}" for shape, count in found.shapes.most_common(10)]
    if len(found.shapes) > 10:
        lines.append(f"and {len(found.shapes) - 10} more shapes")
    lines.append(f"labels: {len(found.labels)}")
    widest = max(found.labels.values(), default=1)
    for label, count in sorted(found.labels.items())[:SHOWN_LABELS]:
        lines.append(f"{label:>8}  {count:>8}  {count / readable:6.1%}  {'#' * round(40 * count / widest)}")
    if len(found.labels) > SHOWN_LABELS:
        lines.append(f"and {len(found.labels) - SHOWN_LABELS} more labels, up to {max(found.labels)}")
    return lines


@command.command(name="check")
@click.argument("database")
@_threads()
def check(database: str, threads: int | None) -> int:
    """Decode every record, and list what is wrong. Exit status 1 where something is."""
    from netc.data.tools.database_report import inspect_database

    with progress_bar("checking") as progress:
        found = inspect_database(database, threads=threads, progress=progress)
    show(found.faults)
    bad = f"{len(found.faults)} cannot be read" if found.faults else "all can be read"
    sizes = f", of {counted(len(found.shapes), 'shape')}" if len(found.shapes) > 1 else ""
    click.echo(f"{database}: {counted(found.records, 'record')}, {bad}{sizes}")
    return int(bool(found.faults))
