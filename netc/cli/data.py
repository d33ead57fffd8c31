"""`netc data VERB`: Create and inspect databases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import SwitchCommand, option, switch
from netc.cli.terminal import progress_bar, say, show
from netc.diagnostics import counted
from netc.files import is_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.data.tools.annotated_database import AnnotatedSettings
    from netc.data.tools.database_report import DatabaseReport
    from netc.data.tools.image_conversion import Conversion, ImageSettings
    from netc.data.tools.label_map import LabelMap
    from netc.data.tools.mean_image import ListedImages

SHOWN_LABELS = 20
"""Lines of the label histogram."""
BACKENDS = click.Choice(["lmdb", "leveldb"])


@click.group(name="data")
def command() -> None:
    """Create and inspect databases of images.

    Databases equal those of Caffe's tools, and appear only when they are complete.
    """


def _backend() -> Callable[[Any], Any]:
    return option("--backend", type=BACKENDS, default="lmdb", show_default=True, help="Kind of database to write.")


def _threads() -> Callable[[Any], Any]:
    return option("--threads", type=click.IntRange(1), help="Worker threads.  [default: number of cores]")


def _skip_bad() -> Callable[[Any], Any]:
    return option(
        "--skip-bad", is_flag=True, help="Skip images or records that cannot be read, and print their number."
    )


def _image_options(function: Any) -> Any:
    """The options that are flags of convert_imageset."""
    for one in (
        switch("--gray", help="Store one channel."),
        option("--resize-height", type=click.IntRange(0), default=0, help="Resize to this height; 0 keeps it."),
        option("--resize-width", type=click.IntRange(0), default=0, help="Resize to this width; 0 keeps it."),
        switch("--check-size", help="Require that all images have the same size."),
        switch("--encoded", help="Store images encoded."),
        option("--encode-type", default="", metavar="png|jpg|...", help="Encoding of images; implies --encoded."),
        option("--seed", type=int, help="Random seed of --shuffle."),
        _backend(),
        _threads(),
        _skip_bad(),
    ):
        function = one(function)
    return function


def _settings(options: dict[str, Any]) -> ImageSettings:
    from netc.data.tools.image_conversion import ImageSettings

    height, width = options.pop("resize_height"), options.pop("resize_width")
    own = {name: options.pop(name) for name in ("gray", "check_size", "encoded", "encode_type")}
    return ImageSettings(height=height, width=width, **own)


@command.command(name="images", cls=SwitchCommand)
@click.argument("list_file", metavar="LISTFILE")
@click.argument("root")
@click.argument("output")
@switch("--shuffle", help="Randomize the order of the list.")
@_image_options
def images(list_file: str, root: str, output: str, **options: Any) -> None:
    """Create a database of the images in LISTFILE, as convert_imageset does.

    A line is a path and an integer label; ROOT is prepended to each path. Caffe's order, ROOT LISTFILE OUTPUT, is
    accepted if ROOT is a directory.
    """
    from netc.data.tools.image_database import convert_images

    if is_folder(list_file) and not is_folder(root):
        list_file, root = root, list_file
    settings = _settings(options)
    with progress_bar("converting") as progress:
        done = convert_images(list_file, root, output, settings, progress=progress, **options)
    _report(output, done)


@command.command(name="folder", cls=SwitchCommand)
@click.argument("folder")
@click.argument("output")
@option("--labels", metavar="FILE", help="File for class names, one per line.  [default: OUTPUT_labels.txt]")
@option(
    "--shuffle/--no-shuffle", default=True, help="Randomize the order, or keep classes in order.", show_default=True
)
@_image_options
def folder(folder: str, output: str, seed: int | None, **options: Any) -> None:
    """Create a database from class folders, the layout of ImageNet.

    Labels number the classes from 0 in the order of their names.
    """
    from netc.data.tools.image_database import convert_folder, labels_beside

    settings = _settings(options)
    with progress_bar("converting") as progress:
        done, classes = convert_folder(folder, output, settings, seed=seed or 0, progress=progress, **options)
    _report(output, done)
    say(f"{options['labels'] or labels_beside(output)}: {counted(len(classes), 'class')}")


@command.command(name="annotated", cls=SwitchCommand)
@click.argument("paths", metavar="SOURCE [ROOT] OUTPUT", nargs=-1, required=True)
@option(
    "--label-map", "--label-map-file", metavar="FILE", help="Label map.  [default: created as OUTPUT_labelmap.prototxt]"
)
@option("--set", "split", metavar="NAME", help="Images of ImageSets/Main/NAME.txt only.  [default: all annotations]")
@option("--label-type", type=click.Choice(["xml", "json", "txt"]), help="Format of the annotations that a list names.")
@option("--name-size", metavar="FILE", help="File of names and sizes.  [default: OUTPUT_name_size.txt]")
@option("--min-dim", type=click.IntRange(0), default=0, help="Enlarge images whose shorter side is below this.")
@option("--max-dim", type=click.IntRange(0), default=0, help="Reduce images whose longer side is above this.")
@option("--resize", metavar="HEIGHTxWIDTH", help="Equivalent to --resize-height and --resize-width.")
@switch("--shuffle", help="Randomize the order.")
@switch("--check-label", help="Accepted for compatibility; label maps are always checked.", expose_value=False)
@_image_options
def annotated(paths: tuple[str, ...], label_map: str | None, **options: Any) -> None:
    """Create a database of images with boxes for AnnotatedData layers, as convert_annoset does.

    SOURCE is a folder in the layout of PASCAL VOC; a JSON file of COCO, whose images are in ROOT; or a list with an
    image and its annotation file (XML, JSON or text) in each line, both in ROOT. Caffe's order, ROOT LISTFILE OUTPUT,
    is accepted if ROOT is a directory.

    Also writes the names and sizes of the images, as DetectionEvaluate reads them.
    """
    from netc.data.tools.annotated_database import convert_annotated, name_size_beside
    from netc.data.tools.label_map import read_label_map

    source, root, output = _annotated_paths(paths)
    given = read_label_map(label_map) if label_map else None
    settings = _annotated_settings(options)
    with progress_bar("converting") as progress:
        done = convert_annotated(source, root, output, settings, label_map=given, progress=progress, **options)
    show((*done.skipped, *done.warnings))
    skipped = f", {counted(len(done.skipped), 'error')} skipped" if done.skipped else ""
    say(f"{output}: {counted(done.written, 'record')}, {counted(done.boxes.total(), 'box')}{skipped}")
    say(f"{options['name_size'] or name_size_beside(output)}: names and sizes")
    if given is None:
        say(f"{_write_label_map(output, done.label_map)}: {counted(len(done.label_map.entries), 'class')}")


def _annotated_paths(paths: tuple[str, ...]) -> tuple[str, str | None, str]:
    """Source, root and output of the arguments."""
    if not 2 <= len(paths) <= 3:
        raise click.UsageError(f"expected SOURCE [ROOT] OUTPUT, got {counted(len(paths), 'argument')}")
    source, *root, output = paths
    if root and is_folder(source) and not is_folder(root[0]):
        source, root = root[0], [source]
    return source, root[0] if root else None, output


def _annotated_settings(options: dict[str, Any]) -> AnnotatedSettings:
    from netc.data.tools.annotated_database import AnnotatedSettings

    size = options.pop("resize")
    if size is not None:
        height, _, width = size.partition("x")
        if not (height.isdecimal() and width.isdecimal()):
            raise click.UsageError(f"--resize {size} is not HEIGHTxWIDTH, such as 300x300")
        options["resize_height"], options["resize_width"] = int(height), int(width)
    sides = {name: options.pop(name) for name in ("min_dim", "max_dim")}
    return AnnotatedSettings(**vars(_settings(options)), **sides)


def _write_label_map(output: str, label_map: LabelMap) -> str:
    from netc.weights import atomic_write

    path = f"{Path(output)}_labelmap.prototxt"
    with atomic_write(path) as file:
        file.write(label_map.text().encode("utf-8", "surrogateescape"))
    return path


def _report(output: str, done: Conversion) -> None:
    show(done.skipped)
    skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
    say(f"{output}: {counted(done.written, 'record')}{skipped}")


@command.command(name="mean", cls=SwitchCommand)
@click.argument("source")
@click.argument("output", required=False)
@option("--root", default="", help="Prefix of each path of a list.")
@option("--resize-height", type=click.IntRange(0), default=0, help="Resize the images of a list to this height.")
@option("--resize-width", type=click.IntRange(0), default=0, help="Resize the images of a list to this width.")
@switch("--gray", help="Read the images of a list with one channel.")
@option("--backend", type=BACKENDS, help="Accepted for compatibility; detected from the files.", expose_value=False)
@_threads()
@_skip_bad()
def mean(source: str, output: str | None, threads: int | None, skip_bad: bool, **listed: Any) -> None:
    """Compute the mean image of SOURCE and write it to the .binaryproto file OUTPUT, as compute_image_mean does.

    SOURCE is a database, or the list of an ImageData layer: lines of a path and labels.
    """
    from netc.data.tools.mean_image import mean_image

    with progress_bar("computing the mean") as progress:
        found = mean_image(
            source, output, listed=_listed(**listed), skip_bad=skip_bad, threads=threads, progress=progress
        )
    say(f"Processed {found.images} files.")
    if found.skipped:
        say(f"Skipped {found.skipped} files.")
    if output:
        say(f"Write to {output}")
    say(f"Number of channels: {len(found.channels)}")
    for channel, value in enumerate(found.channels):
        say(f"mean_value channel [{channel}]:{value:g}")


def _listed(root: str, resize_height: int, resize_width: int, gray: bool) -> ListedImages | None:
    """The parameters by which the images of a list are read; None if none is given."""
    from netc.data.tools.mean_image import ListedImages

    given = ListedImages(root, resize_height, resize_width, not gray)
    return None if given == ListedImages() else given


@command.command(name="mnist")
@click.argument("images")
@click.argument("labels")
@click.argument("output")
@_backend()
def mnist(images: str, labels: str, output: str, backend: str) -> None:
    """Create a database from a pair of MNIST's IDX files, gzipped or not, as convert_mnist_data does."""
    from netc.data.tools.mnist_and_cifar import mnist as convert

    with progress_bar("converting") as progress:
        count = convert(images, labels, output, backend, progress)
    say(f"{output}: {counted(count, 'record')}")


@command.command(name="cifar10")
@click.argument("folder")
@click.argument("output_folder")
@click.argument("kind", metavar="[BACKEND]", required=False, type=BACKENDS)
@_backend()
def cifar10(folder: str, output_folder: str, kind: str | None, backend: str) -> None:
    """Create databases from CIFAR-10's binary version, as convert_cifar_data does.

    BACKEND is equivalent to --backend, as in Caffe.
    """
    from netc.data.tools.mnist_and_cifar import cifar10 as convert

    backend = kind or backend
    with progress_bar("converting") as progress:
        counts = convert(folder, output_folder, backend, progress)
    for part, count in counts.items():
        say(f"{Path(output_folder) / f'cifar10_{part}_{backend}'}: {counted(count, 'record')}")


@command.command(name="class-weights", cls=SwitchCommand)
@click.argument("list_file", metavar="LISTFILE")
@option("--root", default="", help="Prefix of each path.")
@option(
    "--ignore", multiple=True, type=click.IntRange(0, 255), help="Label to ignore; may be repeated.  [default: 255]"
)
@_threads()
def class_weights_(list_file: str, root: str, ignore: tuple[int, ...], threads: int | None) -> None:
    """Print weights of classes for SegNet's `class_weighting`: the median of their frequencies over each frequency.

    A line of LISTFILE has the paths of an image and its label map. The frequency of a class is that of its pixels in
    the images that have it.
    """
    from netc.data.tools.class_weights import class_weights

    with progress_bar("counting") as progress:
        found = class_weights(list_file, root, ignore or (255,), threads=threads, progress=progress)
    for one in found:
        say(f"class_weighting: {one.weight:<10.4f} # class {one.label}: {one.frequency:.2%}, {one.pixels:,} pixels")
    missing = sorted(set(range(found[-1].label)) - {one.label for one in found}) if found else []
    if missing:
        say(f"# without pixels: {', '.join(map(str, missing))}")


@command.command(name="show")
@click.argument("database")
@option("--limit", type=click.IntRange(1), help="Read only this many records.")
@option("--sheet", metavar="PNG", help="Write a contact sheet to this file.")
@option("--count", type=click.IntRange(1), default=64, show_default=True, help="Images on the contact sheet.")
@_threads()
def show_(database: str, limit: int | None, sheet: str | None, count: int, threads: int | None) -> int:
    """Print the number of records, shapes and labels of a database. Exit status 1 if records cannot be read."""
    from netc.data.tools.contact_sheet import contact_sheet
    from netc.data.tools.database_report import inspect_database

    with progress_bar("reading") as progress:
        found = inspect_database(database, limit=limit, threads=threads, progress=progress)
    say("\n".join(_described(found)))
    if sheet:
        say(f"{sheet}: {contact_sheet(database, sheet, count)} images")
    return int(bool(found.faults))


def _described(found: DatabaseReport) -> list[str]:
    examined = "" if found.examined == found.records else f", {found.examined} examined"
    lines = [f"{found.name}: {found.backend}, {counted(found.records, 'record')}{examined}, {found.bytes:,} bytes"]
    readable = found.examined - len(found.faults)
    lines.append(f"images: {found.encoded} encoded, {found.floats} of floats, {len(found.faults)} unreadable")
    lines += [f"shape {'x'.join(map(str, shape))}: {count}" for shape, count in found.shapes.most_common(10)]
    if len(found.shapes) > 10:
        lines.append(f"and {len(found.shapes) - 10} more shapes")
    if found.boxes is not None:
        without = f"{counted(found.boxes[0], 'image')} without" if found.boxes[0] else "none without"
        lines.append(f"boxes: {found.labels.total()}, {without}, {found.difficult} difficult")
    lines.append(f"labels: {len(found.labels)}")
    widest = max(found.labels.values(), default=1)
    labeled = readable if found.boxes is None else found.labels.total()
    for label, count in sorted(found.labels.items())[:SHOWN_LABELS]:
        lines.append(f"{label:>8}  {count:>8}  {count / labeled:6.1%}  {'#' * round(40 * count / widest)}")
    if len(found.labels) > SHOWN_LABELS:
        lines.append(f"and {len(found.labels) - SHOWN_LABELS} more labels, up to {max(found.labels)}")
    return lines


@command.command(name="check")
@click.argument("database")
@_threads()
def check(database: str, threads: int | None) -> int:
    """Decode every record and list errors. Exit status 1 if there are any."""
    from netc.data.tools.database_report import inspect_database

    with progress_bar("checking") as progress:
        found = inspect_database(database, threads=threads, progress=progress)
    show(found.faults)
    bad = f"{len(found.faults)} unreadable" if found.faults else "all readable"
    sizes = f", {counted(len(found.shapes), 'shape')}" if len(found.shapes) > 1 else ""
    say(f"{database}: {counted(found.records, 'record')}, {bad}{sizes}")
    return int(bool(found.faults))
