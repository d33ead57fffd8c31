"""Uses of a layer type that a file may contain: any number of bottoms and tops, any parameter at its bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Kind

from netc.schema import descriptor

AXES = range(6)
INPUTS = "".join(
    f'layer {{ name: "in{axes}" type: "Input" top: "in{axes}" input_param {{ shape {{ '
    + " ".join(f"dim: {2 + axis}" for axis in range(axes))
    + " } } }\n"
    for axes in AXES
)
"""Blobs `in0` to `in5` with that number of axes, of pairwise different extents."""
UNKNOWN = """
layer { name: "extents" type: "Data" top: "extents" data_param { source: "none" batch_size: 2 backend: LMDB } }
layer { name: "axes" type: "HDF5Data" top: "axes" hdf5_data_param { source: "none" batch_size: 2 } }
"""
"""Blobs with unknown extents, and with an unknown number of axes."""
BLOBS = (*(f"in{axes}" for axes in AXES), "extents", "axes")

REQUIRED = {
    "Convolution": "num_output: 2 kernel_size: 1",
    "Deconvolution": "num_output: 2 kernel_size: 1",
    "InnerProduct": "num_output: 2",
    "Pooling": "kernel_size: 1",
    "LSTM": "num_output: 2",
    "RNN": "num_output: 2",
    "Embed": "input_dim: 3 num_output: 2",
    "Im2col": "kernel_size: 1",
    "SPP": "pyramid_height: 2",
    "Tile": "tiles: 2",
}
"""Values of parameters that have no default, for BVLC's types; each test_<family>.py has those of its types."""

_BOUNDS: dict[Any, tuple[str, ...]] = {
    Kind.TYPE_INT32: ("-2147483648", "-1", "0", "1", "2147483647"),
    Kind.TYPE_INT64: ("-9223372036854775808", "-1", "0", "4294967296", "9223372036854775807"),
    Kind.TYPE_UINT32: ("0", "1", "2147483647", "4294967295"),
    Kind.TYPE_UINT64: ("0", "1", "18446744073709551615"),
    Kind.TYPE_FLOAT: ("nan", "inf", "-inf", "0", "-1", "1e38", "1e-45"),
    Kind.TYPE_DOUBLE: ("nan", "inf", "-inf", "0", "-1", "1e300"),
    Kind.TYPE_BOOL: ("false", "true"),
    Kind.TYPE_STRING: ('""', '"a"', f'"{"n" * 300}"', r'"\000"', '"1,-2"'),
    Kind.TYPE_BYTES: ('""', r'"\377"'),
}


@dataclass(frozen=True)
class Use:
    """A layer of a file."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: int
    parameters: str = ""

    @property
    def text(self) -> str:
        """The layer as prototxt."""
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in self.bottoms)
        tops = " ".join(f'top: "{self.name}.{top}"' for top in range(self.tops))
        return f'layer {{ name: "{self.name}" type: "{self.type}" {bottoms} {tops} {self.parameters} }}\n'


def message(kind: str, field: str | None, text: str) -> str:
    """The parameter message of a layer type with `text`, and with what it requires unless `text` sets it."""
    if field is None:
        return ""
    pairs = re.findall(r"(\w+):? (\{.*?\}|\S+)", (REQUIRED | _of_forks()).get(kind, ""))
    rest = " ".join(f"{name}: {value}" for name, value in pairs if not re.match(rf"{name}\b", text))
    return f"{field} {{ {rest} {text} }}"


@cache
def _of_forks() -> dict[str, str]:
    from tests.layers.cases import required

    return required()


def counts(kind: str, field: str | None) -> Iterator[Use]:
    """Yield 0 to 4 bottoms of each kind of blob, with 0 to 2 tops."""
    combinations = [(), *((blob,) * count for count in range(1, 5) for blob in BLOBS)]
    combinations += [("in4", "in1"), ("in4", "in2", "in1"), ("in2", "in4"), ("in0", "in4"), ("in4", "extents", "axes")]
    for index, bottoms in enumerate(combinations):
        for tops in range(3):
            yield Use(f"use{index}.{tops}", kind, bottoms, tops, message(kind, field, ""))


def settings(
    kind: str, field: str | None, bottoms: Sequence[tuple[str, ...]], tops: int, few: int = 1
) -> Iterator[Use]:
    """Yield layers with one parameter at a bound, for each of these bottoms, or for every `few`-th one, in turn."""
    if field is None:
        return
    parameters = descriptor("caffe.LayerParameter").fields_by_name[field].message_type
    for index, text in enumerate(_settings(parameters)):
        for case, names in list(enumerate(bottoms))[index % few :: few]:
            yield Use(f"set{index}.{case}", kind, names, tops, message(kind, field, text))


def _settings(parameters: Any, depth: int = 0) -> Iterator[str]:
    for field in parameters.fields:
        if field.message_type is not None:
            inner = _settings(field.message_type, depth + 1) if depth < 2 else ()
            yield from (f"{field.name} {{ {text} }}" for text in ("", *inner))
            continue
        values = [value.name for value in field.enum_type.values] if field.enum_type else _BOUNDS[field.type]
        for value in values:
            yield f"{field.name}: {value}"
            if field.is_repeated:
                yield from (" ".join([f"{field.name}: {value}"] * count) for count in (2, 5, 40))
