"""The files that a layer refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.fields import Fields
from netc.ir.origin import FileReference
from netc.schema import LISTED

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = {
    "data_param": {"source": "database", "mean_file": "mean file"},
    "image_data_param": {"source": "list", "mean_file": "mean file"},
    "dense_image_data_param": {"source": "list"},
    "hdf5_data_param": {"source": "list"},
    "window_data_param": {"source": "window file", "mean_file": "mean file"},
    "image_gt_data_param": {"source": "file of objects"},
    "video_data_param": {"source": "list", "video_file": "video"},
    "transform_param": {"mean_file": "mean file"},
    "infogain_loss_param": {"source": "infogain matrix"},
    "mean_param": {"file": "mean file"},
    "power_file_param": {"shift_file": "file of numbers"},
    "reader_param": {"file": "file to read"},
}
"""Fields with paths that a layer reads, by message, with a description of the file."""
ALSO_NAMED = {
    "image_data_param": ("root_folder",),
    "dense_image_data_param": ("root_folder",),
    "window_data_param": ("root_folder",),
    "image_gt_data_param": ("root_folder",),
    "hdf5_output_param": ("file_name",),
    "writer_param": ("file", "folder"),
}
"""Fields with other paths, which do not have to exist."""
_MESSAGES = READ.keys() | ALSO_NAMED.keys()


def files_of(layer: Fields) -> Iterator[FileReference]:
    """Yield every path in a LayerParameter."""
    for message in layer.values.keys() & _MESSAGES:
        values = layer.message(message)
        for field, what in READ.get(message, {}).items():
            several = values.get(f"{field}{LISTED}", ())
            for index, path in enumerate(several or filter(None, [values.get(field, "")])):
                yield FileReference(path, what, values.span(field, index if several else 0))
        for field in ALSO_NAMED.get(message, ()):
            if values.get(field, ""):
                yield FileReference(values[field], "", values.span(field))
    for value in layer.values.values():
        if isinstance(value, Fields):
            yield from _files_of_fillers(value)


def _files_of_fillers(parameters: Fields) -> Iterator[FileReference]:
    """Yield the paths of the fillers `file` of a layer's weights."""
    for name, value in parameters.values.items():
        if name.endswith("_filler") and isinstance(value, Fields) and "file" in value:
            yield FileReference(value["file"], "file of numbers", value.span("file"))
