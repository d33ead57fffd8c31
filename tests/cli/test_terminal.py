"""What is printed cannot control a terminal."""

import io
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from netc import cli
from netc.training.log import events
from netc.training.log.caffe_log import GlogWriter
from netc.training.log.events import LogNote, Output, WarningIssued
from netc.training.log.log_tables import table_text
from netc.training.log.parse_log import LogRow

EVIL = "a\x1b[2J\r\x9bK\nerror[E999]: b"
SHOWN = r"a\x1b[2J\x0d\x9bK\x0aerror[E999]: b"
NET = r"""
name: "n\033[1m"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a\033[2J\r\302\233K\nerror[E999]: b" type: "InnerProduct" bottom: "data" top: "t\033[2J"
  inner_product_param { num_output: 4 } }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def output(*arguments) -> str:
    """Everything that a verb prints."""
    result = CliRunner().invoke(cli.netc, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def controls(text: str) -> set[str]:
    return {c for c in text if not c.isprintable() and c != "\n"}


@pytest.mark.parametrize("style", ["text", "csv", "markdown", "json"])
def test_summary(net, style):
    shown = output("summary", net, "--format", style)
    assert not controls(shown)
    assert "\nerror[E999]" not in shown
    assert (SHOWN in shown) == (style != "json")


def test_diff(net, tmp_path):
    other = tmp_path / "other.prototxt"
    other.write_text(NET.replace("num_output: 4", "num_output: 5").replace("[1m", "[2m"))
    shown = output("diff", net, other)
    assert SHOWN in shown
    assert not controls(shown)


def test_verify_and_weights(net, tmp_path):
    for target in ("caffe", "safetensors"):
        assert not controls(output("convert", net, "--to", target, "--output", tmp_path / f"{target}\x1b[1m.out"))
    shown = output("weights", tmp_path / "caffe\x1b[1m.out.caffemodel", net)
    assert SHOWN in shown
    assert not controls(shown)
    shown = output("verify", net, tmp_path / "caffe\x1b[1m.out.prototxt")
    assert r"t\x1b[2J" in shown
    assert not controls(shown)


def test_the_training_log():
    stream = io.StringIO()
    writer = GlogWriter(stream)
    writer(events.TestFinished(1, 0, (Output(EVIL, 1.0, 1.0),)))
    writer(WarningIssued(EVIL))
    writer(LogNote("net.cpp:1", "two\nlines\x1b"))
    assert not controls(stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 4
    assert stream.getvalue().count(SHOWN) == 2


def test_tables_of_a_log():
    assert table_text([LogRow(1, 0.0, 0.1, {"a\x1b": 1.0})]).startswith(r"NumIters,Seconds,LearningRate,a\x1b")


def test_files_keep_names(net, tmp_path):
    output("fmt", net)
    assert r"\033[2J" in net.read_text() or "\x1b[2J" in net.read_text()
    net.write_bytes(b'name: "a\x1b[2J" # \x9b\n')
    output("upgrade", net, tmp_path / "new.prototxt")
    assert b"\x1b[2J" in (tmp_path / "new.prototxt").read_bytes()


def test_standard_output_on_a_terminal(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'name:"a\x1b[2J"\n')
    for terminal in (False, True):
        ours, theirs = pty.openpty() if terminal else os.pipe()
        with path.open("rb") as file:
            subprocess.run(
                [sys.executable, "-m", "netc", "fmt", "-"], stdin=file, stdout=theirs, check=True, timeout=60
            )
        os.close(theirs)
        expected = rb'name: "a\x1b[2J"' if terminal else b'name: "a\x1b[2J"'
        assert os.read(ours, 100).strip() == expected
        os.close(ours)


def test_undecodable_arguments(tmp_path):
    result = subprocess.run([sys.executable, "-m", "netc", "summary", b"/missing\xe9"], capture_output=True, timeout=60)
    assert (result.returncode, result.stderr.count(b"Traceback")) == (1, 0)
    assert rb"/missing\xe9" in result.stderr


def test_an_end_of_file_inside_is_no_interrupt(monkeypatch):
    def fail(*arguments, **settings):
        raise EOFError

    monkeypatch.setattr("netc.cli.summary.summary", fail)
    with pytest.raises(EOFError):
        cli.main(["summary", __file__])
