"""`netc explain`; the pages themselves are tests/test_errors.py's."""

from __future__ import annotations

from netc.cli import main


def test_a_page(capsys):
    assert main(["explain", "e102"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# E102: ")
    assert out.endswith("\n")


def test_the_list(capsys):
    assert main(["explain", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "E010  unknown layer type" in lines
    assert lines.index("Pooling") > lines.index("W804  a loss is left out")


def test_a_layer_type(capsys):
    assert main(["explain", "Pooling"]) == 0
    assert capsys.readouterr().out.startswith("# Pooling: ")


def test_an_unknown_code(capsys):
    assert main(["explain", "E999"]) == 1
    assert "error[E100]" in capsys.readouterr().err


def test_an_unknown_layer_type(capsys):
    assert main(["explain", "Poling"]) == 1
    assert "did you mean `Pooling`?" in capsys.readouterr().err


def test_no_word(capsys):
    assert main(["explain"]) == 2
    assert "--list" in capsys.readouterr().err
