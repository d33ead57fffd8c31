"""`netc fmt FILE...`, as a process would call it."""

import io
import sys
from types import SimpleNamespace

import pytest

from netc.cli import main

MESSY = 'layer{name:"a"; top:"a"}# c\n'
NEAT = 'layer {\n  name: "a"\n  top: "a"\n}  # c\n'


@pytest.fixture
def files(tmp_path):
    """A file to be laid out and one that is."""
    messy, neat = tmp_path / "messy.prototxt", tmp_path / "neat.prototxt"
    messy.write_text(MESSY)
    neat.write_text(NEAT)
    return str(messy), str(neat)


def text(path):
    with open(path) as file:
        return file.read()


def test_in_place(files, capsys):
    assert main(["fmt", *files]) == 0
    assert [text(path) for path in files] == [NEAT, NEAT]
    assert capsys.readouterr() == ("", "")
    assert main(["fmt", "--check", *files]) == 0


def test_check_writes_nothing(files, capsys):
    assert main(["fmt", "--check", *files]) == 1
    assert text(files[0]) == MESSY
    assert capsys.readouterr().err == f"{files[0]}: not formatted\n"
    assert main(["fmt", "--check", files[1]]) == 0


def test_diff_writes_nothing(files, capfd):
    assert main(["fmt", "--diff", *files]) == 0
    assert text(files[0]) == MESSY
    printed = capfd.readouterr().out
    assert printed.startswith(f"--- {files[0]}\n+++ {files[0]}\n@@ -1 +1,4 @@\n-{MESSY}")
    assert printed.endswith("".join("+" + line for line in NEAT.splitlines(keepends=True)))
    assert main(["fmt", "--diff", "--check", files[0]]) == 1


def test_standard_input(monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(MESSY.encode())))
    assert main(["fmt", "-"]) == 0
    assert capfdbinary.readouterr().out == NEAT.encode()


def test_an_error_in_one_file_does_not_stop_the_others(files, tmp_path, capsys):
    broken = tmp_path / "broken.prototxt"
    broken.write_text("a: {")
    assert main(["fmt", str(broken), str(tmp_path / "none"), *files]) == 1
    assert text(files[0]) == NEAT
    assert broken.read_text() == "a: {"
    found = capsys.readouterr().err
    assert "error[E003]" in found
    assert "error[E001]" in found


def test_no_file_is_a_usage_error(capsys):
    assert main(["fmt"]) == 2
    assert "FILES" in capsys.readouterr().err


def test_the_error_reports_a_template(tmp_path, capsys):
    path = tmp_path / "template.prototxt"
    path.write_text("layer { input_param { shape { dim: ${batch} } } }\n")
    assert main(["fmt", str(path)]) == 1
    errors = capsys.readouterr().err
    assert "error[E033]: the file is a template without values for `batch`" in errors
    assert "`netc upgrade` with `--set`" in errors
    assert "`--set batch=...`" not in errors
    assert "${batch}" in text(path)
