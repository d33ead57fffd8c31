"""`netc check`: formats, statuses, options."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from netc.cli import main

SOUND = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
"""
FAULTY = SOUND.replace('type: "ReLU"', 'type: "RELU"').replace('"data" type: "Input"', '"x,:%" type: "Input"')
WARNED = SOUND + 'layer { name: "bn" type: "BatchNorm" bottom: "relu" top: "bn" }\n'
NEEDS_DATA = """layer { name: "data" type: "Data" top: "data" data_param { source: "nowhere" batch_size: 2 } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 5 } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("sound", SOUND), ("faulty", FAULTY), ("warned", WARNED), ("data", NEEDS_DATA)):
        Path(f"{name}.prototxt").write_text(text)


def run(capsys, *arguments: str) -> tuple[int, str]:
    """The status, and what is printed: findings for people on stderr, all else on stdout."""
    status = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert not re.search(r"(error|warning)\[", out)
    return status, err + out


def test_status_0_without_errors(capsys):
    assert run(capsys, "sound.prototxt") == (0, "1 file: no errors, no warnings\n")
    status, out = run(capsys, "sound.prototxt", "warned.prototxt")
    assert status == 0
    assert "warning[W103]" in out
    assert out.endswith("2 files: no errors, 1 warning\n")


def test_status_1_with_an_error(capsys):
    status, out = run(capsys, "warned.prototxt", "faulty.prototxt", "nowhere.prototxt")
    assert status == 1
    assert "--> faulty.prototxt:2:28" in out
    assert "cannot read `nowhere.prototxt`" in out
    assert out.endswith("3 files: 2 errors, 1 warning\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--format", "xml", "sound.prototxt"],
        ["sound.prototxt", "--ignore", "E010"],
        ["sound.prototxt", "--shape", "data=x"],
        ["--nonsense"],
    ],
)
def test_status_2_for_wrong_usage(capsys, arguments):
    assert main(["check", *arguments]) == 2
    assert "Usage" in capsys.readouterr().err


def test_every_error_of_a_long_file_is_counted(capsys):
    text = SOUND + "".join(f'layer {{ name: "a{i}" type: "ReLU" bottom: "no{i}" top: "a{i}" }}\n' for i in range(30))
    Path("many.prototxt").write_text(text)
    status, out = run(capsys, "many.prototxt")
    assert status == 1
    assert "... and 10 more errors" in out
    assert out.endswith("1 file: 30 errors, no warnings\n")
    assert len(json.loads(run(capsys, "many.prototxt", "--format", "json")[1])) == 30


def test_json(capsys):
    status, out = run(capsys, "--format", "json", "faulty.prototxt", "sound.prototxt")
    (found,) = json.loads(out)
    assert status == 1
    assert found == {
        "severity": "error",
        "code": "E010",
        "message": "unknown layer type `RELU`",
        "file": "faulty.prototxt",
        "line": 2,
        "column": 28,
        "help": "did you mean `ReLU`?",
        "notes": ["in layer `relu`, bottoms: data[2,3]"],
    }


def test_json_without_findings_is_an_empty_list(capsys):
    assert json.loads(run(capsys, "--format=json", "sound.prototxt")[1]) == []


def test_github(capsys):
    Path("a,b:c.prototxt").write_text(FAULTY.replace("RELU", "50%"))
    status, out = run(capsys, "--format", "github", "a,b:c.prototxt", "warned.prototxt")
    assert status == 1
    error, warning = out.splitlines()
    assert error == (
        "::error file=a%2Cb%3Ac.prototxt,line=2,col=28,title=E010::"
        "unknown layer type `50%25`%0Ain layer `relu`, bottoms: data[2,3]"
    )
    assert warning.startswith("::warning file=warned.prototxt,line=3,col=26,title=W103::no `Scale` follows")


def test_standard_input(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FAULTY.encode())))
    status, out = run(capsys, "-")
    assert status == 1
    assert "--> <stdin>:2:28" in out


def test_ignored_warnings(capsys):
    assert run(capsys, "warned.prototxt", "--ignore", "W103") == (0, "1 file: no errors, no warnings\n")
    assert run(capsys, "warned.prototxt", "-ignore", "w102,W103")[1] == "1 file: no errors, no warnings\n"


def test_strict(capsys):
    assert run(capsys, "data.prototxt")[0] == 0
    status, out = run(capsys, "data.prototxt", "--strict")
    assert status == 1
    assert "error[W020]: the database `nowhere` does not exist" in out
    assert run(capsys, "warned.prototxt", "--strict")[0] == 0


def test_shapes(capsys):
    assert run(capsys, "data.prototxt", "--shape", "data=2,3,5,5")[0] == 0
    status, out = run(capsys, "data.prototxt", "--shape", "data=2x3x4x5")
    assert status == 1
    assert "data[2,3,4,5]" in out


def test_stages_and_levels(capsys):
    rule = 'include { stage: "a" min_level: 2 }'
    Path("staged.prototxt").write_text(
        SOUND + f'layer {{ name: "f" type: "Flatten" bottom: "relu" top: "relu" {rule} }}'
    )
    assert run(capsys, "staged.prototxt")[0] == 1
    assert run(capsys, "staged.prototxt", "--stage", "b")[0] == 0
    assert run(capsys, "staged.prototxt", "--stage", "a", "--level", "1")[0] == 0
    assert run(capsys, "staged.prototxt", "-stage", "a", "-level", "2")[0] == 1


def test_a_template_is_filled(capsys):
    Path("template.prototxt").write_text(SOUND.replace("dim: 3", "dim: ${channels}"))
    assert run(capsys, "template.prototxt")[0] == 1
    assert run(capsys, "template.prototxt", "--set", "channels=3")[0] == 0


def test_hostile_names_do_not_control_the_terminal(capsys):
    Path("hostile.prototxt").write_text('layer { name: "\\033[31m" type: "A\\033[2J" }')
    assert "\033" not in run(capsys, "hostile.prototxt")[1]
