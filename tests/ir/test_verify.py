"""A failed invariant of a graph is reported as a bug of netc."""

import importlib

import pytest

from netc.cli import main
from netc.compiler import graph_of, read_net
from netc.diagnostics import Source
from netc.ir.graph import State
from netc.ir.verify import REPORT, verify

NET = """layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 } } }
layer { name: "b" type: "ReLU" bottom: "a" top: "b" }"""


def test_a_failed_check_says_how_to_report_it():
    graph = graph_of(read_net(Source("net", NET)), State("TEST"))
    with pytest.raises(AssertionError, match="'b' reads 'a' before it is assigned") as caught:
        verify(graph.replace(nodes=graph.nodes[1:]))
    (note,) = caught.value.__notes__
    assert note.startswith("this is a bug in netc, not an error in your files: please report it")


def test_any_other_exception_of_the_command_line_does_too(monkeypatch, tmp_path):
    def broken(*arguments, **named):
        raise KeyError("layer")

    monkeypatch.setattr(importlib.import_module("netc.cli.check"), "check", broken)
    (tmp_path / "net.prototxt").write_text(NET)
    with pytest.raises(KeyError) as caught:
        main(["check", str(tmp_path / "net.prototxt")])
    assert caught.value.__notes__ == [REPORT]
