"""`netc summary`: formats and options."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from netc.cli import main

NET = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "out" include { phase: TRAIN } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)


def run(capsys, *arguments: str) -> str:
    assert main(["summary", *arguments]) == 0
    return capsys.readouterr().out


def test_a_table_with_totals(capsys):
    out = run(capsys, "net.prototxt")
    assert out.splitlines()[0].split() == [
        "layer", "type", "tops", "field", "parameters", "multiply-adds", "activations", "gradients"
    ]  # fmt: skip
    assert out.splitlines()[2].split() == ["fc", "InnerProduct", "[2,4]", "-", "16", "24", "32", "32"]
    assert "total of 2 layers, TEST net, batch size 2" in out
    assert "drop" in run(capsys, "net.prototxt", "--phase", "train")


def test_a_batch(capsys):
    assert "[5,4]" in run(capsys, "net.prototxt", "--batch", "5")
    assert main(["summary", "net.prototxt", "--batch", "0"]) == 2


def test_formats(capsys):
    assert json.loads(run(capsys, "net.prototxt", "--format", "json"))["rows"][1]["macs"] == 24
    assert run(capsys, "net.prototxt", "--format", "csv").splitlines()[2].startswith("fc,InnerProduct,2x3,2x4,16,24,")
    assert run(capsys, "net.prototxt", "--format", "markdown").startswith("| layer | type |")


def test_standard_input_and_templates(capsys, monkeypatch):
    text = NET.replace("num_output: 4", "num_output: $n").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert "[2,7]" in run(capsys, "-", "--set", "n=7")


def test_a_faulty_net_is_an_error(capsys):
    Path("net.prototxt").write_text(NET.replace('bottom: "data"', 'bottom: "dat"'))
    assert main(["summary", "net.prototxt"]) == 1
    assert "error[E011]" in capsys.readouterr().err
