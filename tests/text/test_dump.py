"""Canonical text, as protobuf prints it."""

import re
import struct

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from netc.schema import caffe
from netc.text import from_message
from netc.text.literals import quote, spell_double, spell_float, unquote
from tests.text.nets import messages


def test_a_net():
    net = caffe.NetParameter(name='a "b"\n', layer=[{"name": "c", "top": ["x", "y"], "phase": "TEST", "include": [{}]}])
    net.layer[0].convolution_param.weight_filler.std = 0.01
    net.layer[0].convolution_param.bias_term = False
    assert from_message(net) == (
        'name: "a \\"b\\"\\n"\n'
        'layer {\n  name: "c"\n  top: "x"\n  top: "y"\n  include {\n  }\n  phase: TEST\n'
        "  convolution_param {\n    bias_term: false\n    weight_filler {\n      std: 0.01\n    }\n  }\n}\n"
    )


@given(messages)
def test_it_is_what_protobuf_prints_but_for_whole_floats(message):
    """The Python printer writes `1.0` where Caffe's C++ one writes `1`, and other digits beyond the sixth."""
    theirs = text_format.MessageToString(message, as_utf8=False)
    strip = re.compile(r"(?m)^( *\w+: )-?[\d.]+(?:e[+-]?\d+)?$")
    assert strip.sub(r"\1", from_message(message)) == strip.sub(r"\1", theirs)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "0.01"), (1.0, "1"), (-0.0, "-0"), (1 / 256, "0.00390625"), (1e-5, "1e-05"), (100000.0, "100000"),
        (1e6, "1e+06"), (123456789.0, "1.2345679e+08"), (16777217.0, "16777216"), (1 / 3, "0.33333334"),
        (float("inf"), "inf"), (float("-inf"), "-inf"), (float("nan"), "nan"), (1e39, "inf"),
    ],
)  # fmt: skip
def test_floats(value, text):
    stored = caffe.FillerParameter(value=value).value
    assert spell_float(stored) == text


@given(st.floats(width=32, allow_nan=False))
def test_a_float_reads_back(value):
    assert struct.pack("<f", float(spell_float(value))) == struct.pack("<f", value)


@given(st.floats(allow_nan=False))
def test_a_double_reads_back(value):
    assert struct.pack("<d", float(spell_double(value))) == struct.pack("<d", value)


@given(st.binary())
def test_bytes_read_back(value):
    assert unquote(quote(value)) == value
    assert quote(value).isascii()
