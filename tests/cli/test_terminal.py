"""What is printed cannot control a terminal, and standard output that is full, closed or broken ends a verb cleanly."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

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


def run(arguments: list, *, shell: str = "", **settings) -> subprocess.CompletedProcess:
    """Run netc in a process of its own; `shell` is what follows the command in a shell."""
    root = Path(cli.__file__).parents[2]
    command = " ".join([sys.executable, "-m", "netc", *map(str, arguments), shell])
    return subprocess.run(["bash", "-c", command], capture_output=True, cwd=root, timeout=60, **settings)


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


@pytest.mark.parametrize("verb", ["summary", "fmt -"])
@pytest.mark.parametrize(
    ("shell", "status", "message"),
    [
        (">/dev/full", 1, "error[E408]: cannot write to standard output: no space left on device"),
        (">&-", 1, "error[E408]: cannot write to standard output: bad file descriptor"),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
    ids=["full", "closed", "broken"],
)
def test_standard_output_fails(verb, shell, status, message, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(NET + "# a comment\n" * 20000)
    arguments = verb.split() if "-" in verb else [verb, net]
    result = run(arguments, shell=f"< {net} {shell}")
    assert (result.returncode, result.stderr.decode().strip()) == (status, message)


def test_standard_input_is_closed(tmp_path):
    result = run(["fmt", "-"], shell="<&-")
    assert (result.returncode, result.stderr) == (1, b"error[E001]: cannot read standard input: bad file descriptor\n")
    assert b"is a directory" in run(["check", "-"], shell="< /").stderr


def test_a_file_does_not_take_the_number_of_a_closed_stream(net, tmp_path):
    new = tmp_path / "new.prototxt"
    assert run(["upgrade", net, new], shell="<&- >&- 2>&-").returncode == 0
    assert new.read_text() == net.read_text()


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
