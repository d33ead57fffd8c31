"""Nets of every layer type with every number of bottoms, and fields of any value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case, command_lines
from fuzz.mutation import NUMBERS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from google.protobuf.descriptor import Descriptor, FieldDescriptor

SMALL = ("0", "1", "1", "2", "2", "3", "4", "5", "-1", "0.5")
"""Numbers that layers often accept."""
EXTENTS = (1, 1, 2, 2, 3, 4, 5, 7, 0)
FORMATS = ("onnx", "py", "caffe", "pt", "safetensors")
DEPTH = 3
"""Messages within messages."""


class Layers(Campaign):
    """Nets of every layer type with every number of bottoms, and fields of any value."""

    name = "layers"

    def __init__(self, corpus: Sequence[Path] = ()) -> None:
        from netc.layers import registry
        from netc.schema.caffe import LayerParameter

        super().__init__(corpus)
        self.types = sorted(registry().items())
        self.fields = LayerParameter.DESCRIPTOR.fields_by_name

    def case(self, rng: random.Random) -> Case:
        """Return a net with one or two random layers on random inputs."""
        text = [self._input(rng, i) for i in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4)))]
        blobs = [f"in{i}" for i in range(len(text))]
        for i in range(rng.choice((1, 1, 2))):
            tops = [f"top{i}_{k}" for k in range(rng.choice((0, 1, 1, 1, 1, 2, 3)))]
            text.append(self._layer(rng, f"layer{i}", blobs, tops))
            blobs = [*blobs, *tops]
        form = rng.choice(FORMATS)
        out = "out.prototxt" if form == "caffe" else f"out.{form}"
        commands = command_lines(f"""
            check net.prototxt
            time net.prototxt --iterations 1
            convert net.prototxt --to {form} --output {out}
        """)
        return Case({"net.prototxt": "\n".join(text).encode("utf-8", "surrogateescape")}, commands)

    def _input(self, rng: random.Random, index: int) -> str:
        extents = " ".join(f"dim: {rng.choice(EXTENTS)}" for _ in range(rng.choice((0, 1, 2, 2, 3, 4, 4, 4, 5))))
        shape = f"input_param {{ shape {{ {extents} }} }}" if rng.random() < 0.95 else ""
        return f'layer {{ name: "in{index}" type: "Input" top: "in{index}" {shape} }}'

    def _layer(self, rng: random.Random, name: str, blobs: list[str], tops: list[str]) -> str:
        type_name, cls = rng.choice(self.types)
        chosen = rng.sample(blobs, min(len(blobs), rng.choice((0, 1, 1, 1, 2, 2, 3, 4))))
        if chosen and tops and rng.random() < 0.1:
            tops[0] = chosen[0]
        lines = [f'name: "{name}" type: "{type_name}"']
        lines += [f'bottom: "{blob}"' for blob in chosen] + [f'top: "{blob}"' for blob in tops]
        names = [n for n in (cls.param_field, "loss_param", "transform_param", "param") if n in self.fields]
        for field in names:
            if rng.random() < (0.7 if field == cls.param_field else 0.1):
                lines.append(f"{field} {{ {self._message(rng, self.fields[field].message_type, DEPTH)} }}")
        return f"layer {{ {' '.join(lines)} }}"

    def _message(self, rng: random.Random, descriptor: Descriptor, depth: int) -> str:
        fields = list(descriptor.fields)
        chosen = rng.sample(fields, min(len(fields), rng.choice((0, 1, 1, 2, 3, 5))))
        return " ".join(self._field(rng, field, depth) for field in chosen)

    def _field(self, rng: random.Random, field: FieldDescriptor, depth: int) -> str:
        if field.message_type is not None:
            return f"{field.name} {{ {self._message(rng, field.message_type, depth - 1) if depth else ''} }}"
        return f"{field.name}: {self._value(rng, field)}"

    def _value(self, rng: random.Random, field: FieldDescriptor) -> str:
        if field.enum_type is not None:
            return str(rng.choice(field.enum_type.values).name)
        if field.type == field.TYPE_BOOL:
            return rng.choice(("true", "false"))
        if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            return rng.choice(('""', '"constant"', '"xavier"', '"file"', '"a/b"', '"\\001"'))
        return rng.choice(SMALL if rng.random() < 0.8 else NUMBERS)
