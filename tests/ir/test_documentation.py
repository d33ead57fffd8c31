"""The documentation of layer types at run time: complete, true to the schema and to what `from_caffe` reads."""

from __future__ import annotations

import dataclasses
import pydoc
import re
import subprocess
import sys

import pytest
from google.protobuf import text_format

from netc.diagnostics import NetcError
from netc.ir.documentation import layer_documentation, parameters
from netc.layers import registry
from netc.schema import as_dict, descriptor, is_bvlc, is_repeated, new
from tests.layers.cases import required, whole
from tests.layers.harness import layer_of

TYPES = sorted(registry().items())
PARAMETERS = [(cls, one) for _, cls in TYPES for one in parameters(cls)]

SOURCE = {"source": "a", "batch_size": 5}
RESIZED = {**SOURCE, "new_height": 6, "new_width": 7}

BASE = {
    "AnnotatedData": {"data_param": SOURCE},
    "BoxData": {"data_param": SOURCE},
    "CompactData": {"data_param": SOURCE, "transform_param": {"crop_size": 9}},
    "VideoData": {"video_data_param": {"source": "a", "batch_size": 5, "new_height": 6, "new_width": 7}},
    "YoloAnnotatedData": {"data_param": SOURCE},
    "CPMData": {"data_param": SOURCE, "cpm_transform_param": {"num_parts": 43}},
    "Clip": {"clip_param": {"min": 0.5, "max": 4.0}},
    "Convolution": {"convolution_param": {"num_output": 6}},
    "Data": {"data_param": SOURCE},
    "DenseImageData": {"dense_image_data_param": RESIZED},
    "Deconvolution": {"convolution_param": {"num_output": 6}},
    "Embed": {"embed_param": {"num_output": 4, "input_dim": 7}},
    "HDF5Data": {"hdf5_data_param": SOURCE},
    "HDF5Output": {"hdf5_output_param": {"file_name": "a"}},
    "ImageData": {"image_data_param": RESIZED},
    "ImageLabelmapData": {"image_data_param": RESIZED},
    "ImageSegData": {"image_data_param": RESIZED},
    "InnerProduct": {"inner_product_param": {"num_output": 4}},
    "LSTM": {"recurrent_param": {"num_output": 4}},
    "MemoryData": {"memory_data_param": {"batch_size": 5, "channels": 5, "height": 6, "width": 7}},
    "Pooling": {"pooling_param": {"kernel_size": 3}},
    "Python": {"python_param": {"module": "m", "layer": "l"}},
    "RNN": {"recurrent_param": {"num_output": 4}},
    "SPP": {"spp_param": {"pyramid_height": 3}},
    "Tile": {"tile_param": {"tiles": 3}},
    "VideoSegmentationData": {"image_data_param": SOURCE},
    "VideoWithVoxelTruthData": {"image_data_param": {**SOURCE, "num_truth_channels": 1}},
    "WindowData": {"window_data_param": SOURCE, "transform_param": {"crop_size": 9}},
    "WindowSegData": {"image_data_param": RESIZED},
}
"""The least that a layer of each type needs, besides the REQUIRED of layers' tests."""


def base_of(cls, field: str | None = None) -> dict:
    """The least that a layer of a type needs: in `field`, if it may be there, else in its own field."""
    text, base = required().get(cls.type), BASE.get(cls.type, {})
    for name in (field, cls.param_field, getattr(cls, "message", None)) if text else ():
        try:
            return {**base, name: as_dict(text_format.Parse(text, new(field_at(name).message_type.name)))}
        except (text_format.ParseError, AttributeError):  # a field of another kind
            continue
    return base


WINDOW = {"num_output": 6, "kernel_h": 3, "kernel_w": 2, "stride_h": 3, "stride_w": 2, "pad_h": 2, "pad_w": 1}
POOL = {"kernel_h": 3, "kernel_w": 2, "stride_h": 3, "stride_w": 2, "pad_h": 2, "pad_w": 1}
WEIGHTS = {"loss_param": {"class_weighting": [1.0, 2.0], "weight_by_label_freqs": True}}
WHOLE = {
    "BoxData transform_param": {"data_param": SOURCE, "transform_param": {"scale": 3.0}},
    "CompactData transform_param": {"data_param": SOURCE, "transform_param": {"crop_size": 3}},
    "annotated_data_param.anno_type": {"data_param": SOURCE, "annotated_data_param": {"anno_type": "BBOX"}},
    "annotated_data_param.batch_sampler": {
        "data_param": SOURCE,
        "annotated_data_param": {"batch_sampler": [{"max_sample": 2}]},
    },
    **{
        f"dense_image_data_param.{name}": {"dense_image_data_param": {**RESIZED, "crop_height": 4, "crop_width": 5}}
        for name in ("crop_height", "crop_width")
    },
    "image_data_param.ignore_label": {"image_data_param": {**RESIZED, "ignore_label": 11}},
    **{f"convolution_param.{name}": {"convolution_param": WINDOW} for name in WINDOW if "_h" in name or "_w" in name},
    **{f"pooling_param.{name}": {"pooling_param": POOL} for name in POOL},
    "pooling_param.global_pooling": {"pooling_param": {"global_pooling": True}},
    "loss_param.class_weighting": WEIGHTS,
    "loss_param.weight_by_label_freqs": WEIGHTS,
    "SigmoidCrossEntropyLoss loss_param.normalize": {"loss_param": {"normalize": True}},
    "loss_param.normalize": {"loss_param": {"normalize": False}},
    "window_data_param.crop_mode": {**BASE["WindowData"], "window_data_param": {**SOURCE, "crop_mode": "square"}},
}
WHOLE |= whole()
"""Whole messages, for fields that cannot be set without others; those of forks' layers are the WHOLE of their tests."""

FIXED = {"image_gt_data_param.coord_num", "cpm_transform_param.aug_way"}
"""Fields with a single valid value."""


def sample(field, base: object = None) -> object:
    """A value that differs from the default of a field, and from that of the least message."""
    if field.message_type is not None:
        one = {"FillerParameter": {"value": 3.0}, "BlobShape": {"dim": [4]}}.get(field.message_type.name)
        one = one or {"mirror": True}
    elif field.enum_type is not None:
        values = [value.name for value in field.enum_type.values if value.number != field.default_value]
        one = next(
            (name for name in values if name != base), field.enum_type.values_by_number[field.default_value].name
        )
    elif field.cpp_type == field.CPPTYPE_BOOL:
        one = not field.default_value
    elif field.cpp_type == field.CPPTYPE_STRING:
        one = "L1" if field.default_value == "L2" else "other"
    elif field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        one = abs(field.default_value or 0) + 0.375
    else:
        one = (field.default_value or 0) + 2
    if base in (one, [one], (one,)):
        one += 1
    return [one] if is_repeated(field) else one


def field_at(path: str):
    """The descriptor of a field by its path within a LayerParameter. Raises KeyError for an unknown one."""
    message = descriptor("LayerParameter")
    *outer, name = path.split(".")
    for one in outer:
        message = message.fields_by_name[one].message_type
    return message.fields_by_name[name]


def with_field(type_name: str, path: str) -> dict:
    """The least message of a type, with one field set."""
    whole = WHOLE.get(f"{type_name} {path}", WHOLE.get(path))
    if whole is not None:
        return whole
    field, (*outer, name) = field_at(path), path.split(".")
    base = base_of(registry()[type_name], *outer[:1])
    if not outer:
        return {**base, name: {**base.get(name, {}), **sample(field)}}
    message = base.get(outer[0], {})
    return {**base, outer[0]: {**message, name: sample(field, message.get(name))}}


@pytest.mark.parametrize(("name", "cls"), TYPES, ids=[name for name, _ in TYPES])
def test_a_layer_type_has_a_summary_shapes_and_a_reference(name, cls):
    found = layer_documentation(cls)
    assert found.type == name
    assert found.summary.endswith(".")
    assert found.shapes
    assert re.search(r"`\w+\.(cpp|hpp|cu)`", found.reference)


def test_a_parameter_has_a_sentence():
    for cls, one in PARAMETERS:
        assert re.fullmatch(r"`?\w.*\.", one.meaning, re.DOTALL), f"{cls.type}.{one.name}"
        assert one.type
        assert one.default or one.default is None


@pytest.mark.parametrize(("name", "cls"), TYPES, ids=[name for name, _ in TYPES])
def test_a_parameter_is_read_from_its_fields_and_nothing_else_is(name, cls):
    for one, path in [(read, path) for read in parameters(cls) for path in read.fields]:
        base = layer_of(name, base_of(cls, path.split(".")[0]))
        if path in FIXED:
            with pytest.raises(NetcError):
                layer_of(name, with_field(name, path))
            continue
        changed = layer_of(name, with_field(name, path))
        different = {f.name for f in dataclasses.fields(cls) if getattr(changed, f.name) != getattr(base, f.name)}
        readers = {other.name for other in parameters(cls) if path in other.fields}
        alike = {other.name for other in parameters(cls) if other.fields == one.fields}  # one of several values
        assert alike & different, path
        assert {path, f"{name} {path}"} & WHOLE.keys() or different <= readers, path


OLD_TRANSFORM = {"scale", "mean_file", "crop_size", "mirror"}
"""Fields of a data layer's own message that the front end moves to `transform_param`."""


def test_every_field_of_bvlc_belongs_to_a_parameter_or_has_no_effect():
    read = {path for _, one in PARAMETERS for path in one.fields}
    messages = {path.split(".")[0] for path in read if "." in path} - read
    fields = {(one, f.name) for one in messages for f in field_at(one).message_type.fields if is_bvlc(f)}
    unread = {(one, name) for one, name in fields if f"{one}.{name}" not in read}
    old = {(one, name) for one, name in unread if one.endswith("data_param") and name in OLD_TRANSFORM}
    assert {name for _, name in unread - old} == {"engine"}


def test_help_lists_parameters():
    text = pydoc.plain(pydoc.render_doc(registry()["Pooling"]))
    assert "stride (list of int, default 1, 1): Vertical and horizontal distance between windows." in text
    assert "Reference: `pooling_layer.cpp`" in text


def test_inherited_parameters_are_documented():
    meanings = {one.name: one.meaning for one in parameters(registry()["Deconvolution"])}
    assert meanings["num_output"] == "Number of channels of the top."


def test_a_class_without_source_has_no_meanings_but_types_and_defaults():
    code = (
        "from dataclasses import dataclass\n"
        "from netc.ir.documentation import parameters\n"
        "from netc.ir.layer import Layer\n"
        "@dataclass(frozen=True)\n"
        "class Own(Layer):\n"
        "    size: int = 3\n"
        "(found,) = parameters(Own)\n"
        "assert (found.type, found.default, found.meaning) == ('int', '3', ''), found\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
