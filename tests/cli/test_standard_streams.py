"""Standard streams that are closed, full, or a pipe without a reader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .solver_files import write_solver

NET = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }\n'


@pytest.fixture
def run(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    def run(command: str) -> tuple[int, str, str]:
        line = command.replace("netc", f"'{sys.executable}' -m netc", 1)
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("netc summary net.prototxt > /dev/full", "no space left on device"),
        ("netc summary net.prototxt >&-", "bad file descriptor"),
        ("netc fmt - < net.prototxt > /dev/full", "no space left on device"),
        ("netc --help > /dev/full", "no space left on device"),
    ],
)
def test_standard_output_that_cannot_be_written(run, command, reason):
    assert run(command) == (1, "", f"error[E408]: cannot write to standard output: {reason}\n")


def test_a_broken_pipe_ends_silently_with_the_status_of_sigpipe(run):
    assert run("netc explain --list | true; echo ${PIPESTATUS[0]}") == (0, "141\n", "")


def test_closed_standard_input(run):
    assert run("netc summary - <&-") == (1, "", "error[E001]: cannot read standard input: bad file descriptor\n")
    assert run("netc check net.prototxt <&-")[0] == 0


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_standard_error_that_cannot_be_written_is_dropped(run, stream):
    assert run(f"netc check missing.prototxt {stream}") == (1, "1 file: 1 error, no warnings\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full", "2>&1 | true"])
def test_a_run_survives_streams_that_cannot_be_written(run, tmp_path, streams):
    write_solver(tmp_path)
    assert run(f"netc train solver.prototxt {streams}")[0] == 0
    assert (tmp_path / "snap_iter_6.solverstate").exists()


def test_a_file_never_gets_the_number_of_a_closed_stream(run, tmp_path):
    assert run("netc upgrade net.prototxt new.prototxt <&- >&- 2>&-") == (0, "", "")
    assert (tmp_path / "new.prototxt").read_text() == NET


def test_text_that_the_encoding_lacks_is_escaped(run, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET.replace('"in"', '"日"'))
    status, out, err = run("PYTHONIOENCODING=latin-1 netc summary net.prototxt")
    assert (status, err) == (0, "")
    assert "\\u65e5" in out
