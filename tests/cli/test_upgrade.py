"""`netc upgrade IN OUT`, as a process would call it."""

import io
import sys
from types import SimpleNamespace

import pytest

from netc.cli import main

OLD = b'layers { type: RELU bottom: "a" top: "a" }  # \xff caf\xc3\xa9\r\n'
NEW = OLD.replace(b"layers", b"layer").replace(b"RELU", b'"ReLU"')


@pytest.fixture
def stdin(monkeypatch):
    """Standard input in memory."""

    def feed(data):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    return feed


def test_file_to_file(tmp_path, capsys):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_bytes(OLD)
    assert main(["upgrade", str(old), str(new)]) == 0
    assert (old.read_bytes(), new.read_bytes()) == (OLD, NEW)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "warning[W031]" in printed.err
    assert "netc upgrade" not in printed.err


def test_in_place_twice(tmp_path, capsys):
    file = tmp_path / "net.prototxt"
    file.write_bytes(OLD)
    file.chmod(0o640)
    for _ in range(2):
        assert main(["upgrade", str(file), str(file)]) == 0
        assert file.read_bytes() == NEW
    assert file.stat().st_mode & 0o777 == 0o640
    assert capsys.readouterr().err.count("W031") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_standard_input_and_output(stdin, capfdbinary):
    stdin(OLD)
    assert main(["upgrade", "-", "-"]) == 0
    assert capfdbinary.readouterr().out == NEW


def test_a_solver(tmp_path):
    file = tmp_path / "solver.prototxt"
    file.write_text('net: "n"\nsolver_type: ADAM\n')
    assert main(["upgrade", str(file), str(file)]) == 0
    assert file.read_text() == 'net: "n"\ntype: "Adam"\n'


def test_a_template(tmp_path, capsys):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text("layer { inner_product_param { num_output: $n } }")
    assert main(["upgrade", str(old), str(new)]) == 1
    assert "E033" in capsys.readouterr().err
    assert not new.exists()
    assert main(["upgrade", str(old), str(new), "--set", "n=21"]) == 0
    assert new.read_text() == "layer { inner_product_param { num_output: 21 } }"


@pytest.mark.parametrize("value", ["n", "=3", "1x=3", ""])
def test_invalid_values(tmp_path, capsys, value):
    assert main(["upgrade", str(tmp_path / "a"), str(tmp_path / "b"), "--set", value]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "code"), [(None, "E001"), (b"a\0", "E001"), (b"a: {", "E003"), (b'input: "a" input_dim: 1', "E031")]
)
def test_errors_leave_the_target_unchanged(tmp_path, capsys, content, code):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    new.write_text("before")
    if content is not None:
        old.write_bytes(content)
    assert main(["upgrade", str(old), str(new)]) == 1
    assert f"error[{code}]" in capsys.readouterr().err
    assert new.read_text() == "before"


def test_standard_input_that_is_not_text(stdin, capfd):
    stdin(b"\0\1")
    assert main(["upgrade", "-", "-"]) == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "standard input is binary" in printed.err


def test_a_target_that_cannot_be_written(tmp_path, capsys):
    old = tmp_path / "old.prototxt"
    old.write_bytes(OLD)
    assert main(["upgrade", str(old), str(tmp_path / "none" / "new")]) == 1
    assert "E408" in capsys.readouterr().err
