"""NetDefs as graphs: names are storage, and what is wrong is named with its operator."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.frontends import read_net
from netc.ir.graph import State

X = np.array([-1.0, 2.0], np.float32)


def net(text: str) -> netc.Net:
    return netc.load(Source("net.pbtxt", text))


def errors(text: str) -> list[tuple[str, str, int | None]]:
    definition = read_net(Source("net.pbtxt", text))
    _, report = definition.graph(State())
    return [(d.code, d.message, d.line) for d in (*definition.report.errors, *report.errors)]


def test_a_blob_is_rewritten_in_place_and_assigned_again():
    found = net("""
        op { type: "Relu" input: "x" output: "y" }
        op { type: "Sqr" input: "y" output: "y" }
        op { type: "Sqr" input: "y" output: "z" }
        op { type: "Relu" input: "x" output: "y" }
    """).run({"x": X}, ["y", "z"])
    assert found["z"].tolist() == [0, 16]
    assert found["y"].tolist() == [0, 2]


def test_an_input_that_is_rewritten_in_place_is_fed_before_it():
    assert net('op { type: "Sqr" input: "x" output: "x" }').run({"x": X}, ["x"])["x"].tolist() == [1, 4]


def test_declared_outputs_are_the_outputs_in_their_order():
    text = """
        op { type: "Sqr" input: "x" output: "a" }
        op { type: "Relu" input: "a" output: "b" }
        op { type: "Relu" input: "a" output: "unused" }
        external_input: "x"
        external_output: "b"
        external_output: "a"
    """
    assert net(text).outputs == ("b", "a")


def test_an_operator_is_named_by_index_type_and_output():
    with pytest.raises(NetcError) as caught:
        net("""
            op { type: "Sqr" input: "x" output: "y" }
            op { type: "Rellu" input: "y" output: "z" }
        """)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.line) == ("E010", "unknown operator `Rellu`", 3)
    assert found.notes == ("in operator 1 (Rellu, `z`), inputs: y[...]",)
    assert found.help == "did you mean `Relu`?"


def test_with_declared_inputs_every_other_input_must_be_produced():
    text = """
        external_input: "x"
        op { type: "Relu" input: "data" output: "y" }
        op { type: "Relu" input: "later" output: "z" }
        op { type: "Relu" input: "y" output: "broken" }
        op { type: "Relu" input: "x" output: "later" }
        external_output: "nothing"
    """
    assert errors(text) == [
        ("E011", "`data` is not an external input, and no earlier operator produces it", 3),
        ("E011", "`later` is not an external input, and no earlier operator produces it", 4),
        ("E011", "nothing produces the external output `nothing`", None),
    ]


def test_only_operators_that_caffe2_allows_run_in_place():
    text = 'op { type: "FC" input: "x" input: "w" input: "b" output: "x" }'
    assert errors(text) == [("E023", "`FC` cannot write output 0 to the blob of input 0", 1)]


def test_an_argument_has_the_kind_that_the_operator_reads():
    text = """op {
        type: "FC" input: "x" input: "w" input: "b" output: "y"
        arg { name: "axis" f: 1 }
    }"""
    assert errors(text) == [("E006", "the argument `axis` is a float, expected an integer", 3)]


def test_an_argument_set_twice_is_an_error_if_the_values_differ():
    def twice(second: int) -> str:
        arguments = "".join(f'arg {{ name: "axis" i: {value} }}\n' for value in (1, second))
        return f'op {{ type: "FC" input: "x" input: "w" input: "b" output: "y"\n{arguments}}}'

    assert errors(twice(1)) == []
    ((code, message, _),) = errors(twice(2))
    assert (code, message) == ("E009", "the argument `axis` is set twice, with different values")


def test_unknown_arguments_engines_and_devices_are_ignored():
    text = """
        device_option { device_type: 1 }
        op { type: "Relu" input: "x" output: "y" engine: "CUDNN" arg { name: "order" s: "NCHW" } }
    """
    assert net(text).run({"x": X})["y"].tolist() == [0, 2]


def test_shapes_and_types_are_checked_when_the_net_runs():
    text = 'op { type: "FC" input: "x" input: "w" input: "b" output: "y" }'
    fed = {"x": np.ones((2, 3), np.float32), "w": np.ones((4, 5), np.float32), "b": np.ones(4, np.float32)}
    with pytest.raises(NetcError, match="X\\[2,3\\] has 3 values per item, but W\\[4,5\\] expects 5") as caught:
        net(text).run(fed)
    assert caught.value.diagnostics[0].notes == ("in operator 0 (FC, `y`), inputs: x[2,3], w[4,5], b[4]",)
    with pytest.raises(NetcError, match="has type int64") as caught:
        net('op { type: "Relu" input: "x" output: "y" }').run({"x": np.arange(2)})
    assert caught.value.diagnostics[0].code == "E107"


def test_shapes_are_those_of_external_inputs_declared_or_not():
    text = 'op { type: "Relu" input: "x" output: "y" } op { type: "Sqr" input: "y" output: "z" } '
    for source in (text, text + 'external_input: "x"'):
        assert str(netc.summary(Source("net.pbtxt", source), shapes={"x": (2, 3)})).count("[2,3]") == 3
        assert not netc.check(Source("net.pbtxt", source), shapes={"x": (2, 3)})
        (warning,) = netc.check(Source("net.pbtxt", source), shapes={"y": (2, 3)})
        assert (warning.code, warning.help) == ("W039", None)
