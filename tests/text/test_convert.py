"""Trees to messages: what protobuf accepts and nothing else, with every problem told at its place."""

import itertools
import math

import pytest
from google.protobuf import text_format
from hypothesis import assume, given
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.schema import as_dict, new
from netc.text import from_message, parse, to_message
from tests.text.nets import FIELDS, SPACE, SPELLINGS, messages


def convert(text, kind="caffe.NetParameter"):
    return to_message(parse(Source("net", text)), kind)


def findings(text, kind="caffe.NetParameter"):
    return [f"{d.code} {d.line}:{d.column} {d.message}" for d in convert(text, kind)[1]]


def accepted(text, kind):
    """What protobuf makes of a text, None where it refuses it."""
    try:
        return text_format.Parse(text, new(kind))
    except (text_format.ParseError, UnicodeError):
        return None


def ours(text, kind):
    try:
        message, found = convert(text, kind)
    except NetcError:
        return None
    return None if {d.code for d in found} - {"W002"} else message


ENUMS = ("pool", "phase", "blob_share_mode")
TRUNCATED = ("4294967296", "18446744073709551616")
"""protobuf 7 cuts an enum's number to 32 bits and takes these for 0."""


@pytest.mark.parametrize(("kind", "name"), FIELDS)
@pytest.mark.parametrize("colon", [": ", " "])
def test_one_field_in_every_spelling_as_protobuf_reads_it(kind, name, colon):
    for spelling in SPELLINGS:
        text = f"{name}{colon}{spelling}"
        expected, found = accepted(text, kind), ours(text, kind)
        if name in ENUMS and spelling in TRUNCATED:
            expected = None
        assert (found is None) == (expected is None), text
        if expected is not None:
            assert str(found) == str(expected), text


@given(st.data())
def test_two_fields_in_any_spelling_as_protobuf_reads_them(data):
    kind, name = data.draw(st.sampled_from(FIELDS))
    other = data.draw(st.sampled_from([n for k, n in FIELDS if k == kind]))
    parts = [name, ":", data.draw(st.sampled_from(SPELLINGS)), other, ":", data.draw(st.sampled_from(SPELLINGS))]
    parts.insert(3, data.draw(st.sampled_from(["", ";", ",", ";;"])))
    assume(not (set(parts) & set(ENUMS) and set(parts) & set(TRUNCATED)))
    text = "".join(itertools.chain.from_iterable((part, data.draw(SPACE)) for part in parts))
    expected, found = accepted(text, kind), ours(text, kind)
    assert (found is None) == (expected is None)
    assert found is None or str(found) == str(expected)


@given(messages)
def test_text_printed_by_protobuf_is_read_back(message):
    kind = message.DESCRIPTOR.full_name
    assert ours(text_format.MessageToString(message), kind) == message
    assert (
        ours(text_format.MessageToString(message, as_one_line=True, use_short_repeated_primitives=True), kind)
        == message
    )
    assert ours(text_format.MessageToString(message, pointy_brackets=True), kind) == message
    assert ours(from_message(message), kind) == message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('layer { naem: "a" }', "W001 1:9 unknown field `naem` in `LayerParameter`"),
        ("layer { name: a }", "E006 1:15 `name` expects a string, got `a`"),
        ("layer { name { } }", "E006 1:9 `name` is a scalar, not a message"),
        ("layer { pooling_param: 3 }", "E006 1:24 `pooling_param` is a message, not a scalar"),
        ("layer { phase: TSET }", "W003 1:16 unknown value `TSET` of `phase`"),
        ("layer { phase: 7 }", "W003 1:16 unknown value `7` of `phase`"),
        ('layer { phase: "TEST" }', 'W003 1:16 unknown value `"TEST"` of `phase`'),
        ("input_dim: 2147483648", "E007 1:12 `input_dim` cannot hold 2147483648"),
        ("input_dim: [1, 1.5]", "E006 1:16 `input_dim` expects an integer, got `1.5`"),
        ("layer { loss_weight: 010 }", "E006 1:22 `loss_weight` expects a number, got `010`"),
        ("force_backward: yes", "E006 1:17 `force_backward` expects `true` or `false`, got `yes`"),
        ('name: "a"\nname: "b"', "E009 2:1 `name` is set twice"),
        ("state { } state { }", "E009 1:11 `state` is set twice"),
        ('name: ["a"]', "E009 1:1 `name` expects one value, got a list"),
        ("layer { clip_param { min: 1 } }", "E009 1:9 `max` is missing in `ClipParameter`"),
        (r'name: "C:\data"', r"E004 1:7 the string of `name` holds \d, not an escape sequence"),
        (r'name: "\351"', "E004 1:7 `name` expects UTF-8 text"),
        ('name: "\udce9"', "E004 1:7 `name` expects UTF-8 text"),
        ('name: "\ud800"', "E004 1:7 the string of `name` holds a lone surrogate, not an escape sequence"),
    ],
)
def test_diagnostics_with_their_spans(text, found):
    assert findings(text) == [found]


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("layer { bottm: 'a' }", "did you mean `bottom`?"),
        ("layer { pooling_param { pool: MAXX } }", "did you mean `MAX`?"),
        ("layer { pooling_param { pool: 'MAX' } }", "write `MAX` without quotes"),
        ("layer { name: conv1 }", 'write `"conv1"`'),
        ("force_backward: TRUE", "write `true`"),
        ("layer { loss_weight: 010 }", "write `8`"),
        ("layer { pooling_param: 3 }", "write `pooling_param { ... }`"),
        (r'name: "a\data"', r"write `\\d` for a backslash"),
        (r'name: "C:\data"', 'write the path with slashes: `"C:/data"`'),
    ],
)
def test_help(text, help):
    (found,) = convert(text)[1]
    assert found.help == help


def test_everything_at_once_in_the_order_of_the_file():
    text = 'name: 1\nlayer { phase: X bogus: [{ a: 1 }] }\ninput_dim: -9999999999\nlayer { name: "ok" type: "ReLU" }\n'
    message, found = convert(text)
    assert [(d.code, d.line) for d in found] == [("E006", 1), ("W003", 2), ("W001", 2), ("E007", 3)]
    assert as_dict(message) == {"layer": ({}, {"name": "ok", "type": "ReLU"})}


def test_a_warning_is_reported_once_for_all_positions():
    text = "layer { bogus: 1 pooling_param { bogus: 2 ceil_mode: true } }\nlayer { bogus: 3 bogus { } }\n"
    found = convert(text)[1]
    assert [(d.code, d.line, d.column, d.field, d.notes) for d in found] == [
        ("W001", 1, 9, "LayerParameter.bogus", ("and at 2 more places",)),
        ("W001", 1, 34, "PoolingParameter.bogus", ()),
        ("W002", 1, 43, "PoolingParameter.ceil_mode", ()),
    ]


def test_fields_of_forks_are_read_and_reported():
    text = "layer { prior_box_param { min_size: 30 } loss_param { normalization: PRE_FIXED } engine: 'MKL2017' }"
    message, found = convert(text)
    assert as_dict(message)["layer"][0] == {
        "loss_param": {"normalization": "PRE_FIXED"},
        "prior_box_param": {"min_size": (30.0,)},
        "engine": "MKL2017",
    }
    assert [d.message for d in found] == [
        "`prior_box_param` in `LayerParameter` is not part of BVLC's Caffe",
        "`min_size` in `PriorBoxParameter` is not part of BVLC's Caffe",
        "`normalization: PRE_FIXED` in `LossParameter` is not part of BVLC's Caffe",
        "`engine` in `LayerParameter` is not part of BVLC's Caffe",
    ]


def test_a_field_that_a_fork_may_repeat():
    text = "device_id: 2\ndevice_id: 0\ndevice_id: 1\n"
    message, found = convert(text, "caffe.SolverParameter")
    assert as_dict(message) == {"device_id": 2, "device_id__list": (2, 0, 1)}
    assert [(d.code, d.line, d.field) for d in found] == [("W002", 2, "SolverParameter.device_id__list")]
    assert from_message(message) == text
    assert findings("device_id__list: 1", "caffe.SolverParameter")[0].startswith("W001")


def test_a_list_in_a_field_that_a_fork_may_repeat():
    message, found = convert("device_id: [0, 1]", "caffe.SolverParameter")
    assert as_dict(message) == {"device_id": 0, "device_id__list": (0, 1)}
    assert [d.code for d in found] == ["W002"]
    message, found = convert("kernel_size: [1, 2, 2]", "caffe.PoolingParameter")
    assert as_dict(message) == {"kernel_size": 1, "kernel_size__list": (1, 2, 2)}
    assert findings("kernel_size: []", "caffe.PoolingParameter") == [
        "E009 1:1 `kernel_size` expects one value, got a list"
    ]


@pytest.mark.parametrize(
    ("kind", "text", "value", "message"),
    [
        (
            "NonMaximumSuppressionParameter",
            "soft_nms: true",
            {"soft_nms": 1.0},
            "`soft_nms` expects a number, got `true`",
        ),
        ("NonMaximumSuppressionParameter", "top_k: 'many'", {}, "`top_k` expects an integer, got `'many'`"),
        ("NonMaximumSuppressionParameter", "top_k: 400.0", {"top_k": 400}, "`top_k` expects an integer, got `400.0`"),
        ("NonMaximumSuppressionParameter", "top_k: 3e9", {}, "`top_k` expects an integer, got `3e9`"),
        ("SolverParameter", "eval_type: 5", {"eval_type": "5"}, "`eval_type` expects a string, got `5`"),
        ("SolverParameter", "larc: 2", {"larc": True}, "`larc` expects `true` or `false`, got `2`"),
        ("SolverParameter", "eval_type: 'a' eval_type: 'b'", {"eval_type": "a"}, "`eval_type` is set twice"),
        ("SolverParameter", "min_lr: [1, 2]", {"min_lr": 1.0}, "`min_lr` expects one value, got a list"),
        ("SolverParameter", "min_lr { value: 1 }", {}, "`min_lr` is a scalar, not a message"),
        ("LayerParameter", "norm_param: 1", {"norm_param": {}}, "`norm_param` is a message, not a scalar"),
        (
            "LayerParameter",
            "norm_param { eps: 1 } norm_param { eps: 2 }",
            {"norm_param": {"eps": 1.0}},
            "`norm_param` is set twice",
        ),
    ],
)
def test_types_on_which_forks_differ_are_warnings(kind, text, value, message):
    held, found = convert(text, f"caffe.{kind}")
    assert as_dict(held) == value
    assert [d.message for d in found if d.code != "W002"] == [message]
    assert {d.code for d in found} <= {"W002", "W004"}


def test_a_part_of_a_tree_can_be_converted():
    tree = parse(Source("net", 'layer { name: "a" phase: TEST }'))
    message, found = to_message(tree.root.messages("layer")[0], "caffe.LayerParameter")
    assert (as_dict(message), found) == ({"name": "a", "phase": "TEST"}, [])


def test_floats_beyond_float32_are_infinite():
    blob = convert("data: [1e39, -1e39, 1e-60, 3.4028235e38] double_data: 1e39", "caffe.BlobProto")[0]
    assert list(blob.data) == [math.inf, -math.inf, 0.0, 3.4028234663852886e38]
    assert list(blob.double_data) == [1e39]


def test_differences_between_the_cplusplus_and_python_parsers():
    assert as_dict(convert("input_dim: - 3")[0]) == {"input_dim": (-3,)}
    assert as_dict(convert(r'name: "\?"')[0]) == {"name": "?"}
    for text in ("input_dim: +3", "input_dim: 1_000", "input_dim: 0b1"):
        assert accepted(text, "caffe.NetParameter") is not None
        assert ours(text, "caffe.NetParameter") is None
