"""Regular files only: nothing that blocks or never ends is opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from netc import check, files
from netc.diagnostics import NetcError, Source
from netc.frontends import read
from netc.text import read_source


@pytest.fixture
def special(tmp_path):
    """What is not a regular file, by kind."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / "socket"))
        yield {
            "a pipe": tmp_path / "pipe",
            "a socket": tmp_path / "socket",
            "a device": Path("/dev/zero"),
            "a directory": tmp_path,
        }


KINDS = ["a pipe", "a socket", "a device", "a directory"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", [files.open_regular, files.read_bytes, files.check_regular])
def test_what_is_not_a_file_is_refused(special, kind, action):
    with pytest.raises(OSError, match="not a regular file") as caught:
        action(special[kind])
    assert files.reason_of(caught.value) == f"it is {kind}, not a regular file"


def test_a_link_to_a_pipe(special, tmp_path):
    (tmp_path / "link").symlink_to(special["a pipe"])
    with pytest.raises(OSError, match="it is a pipe"):
        files.read_bytes(tmp_path / "link")


def test_a_file_that_becomes_a_pipe_after_the_check(special, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "check_regular", lambda path: 0)
    with pytest.raises(OSError, match="it is a pipe"):
        files.open_regular(special["a pipe"])


def test_the_content_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc\r\n\xff")
    assert files.read_bytes(tmp_path / "file") == b"abc\r\n\xff"
    assert files.check_regular(tmp_path / "file") == 6
    with pytest.raises(OSError, match="6 bytes, more than the limit of 5"):
        files.read_bytes(tmp_path / "file", limit=5)


def test_a_file_of_the_system(tmp_path):
    (tmp_path / "link").symlink_to("/proc/self/status")
    for path in ("/proc/self/status", tmp_path / "link"):
        with pytest.raises(OSError, match="it belongs to the system"):
            files.open_regular(path)
    (tmp_path / "empty").write_bytes(b"")
    assert files.read_bytes(tmp_path / "empty") == b""


def test_a_file_by_its_descriptor(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    with (tmp_path / "file").open("rb") as file:
        assert files.read_bytes(f"/dev/fd/{file.fileno()}") == b"abc"


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_a_regular_file(special, kind):
    for reader in (read, read_source):
        with pytest.raises(NetcError, match="cannot read") as caught:
            reader(special[kind])
        assert kind in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_net_of_a_solver_is_a_regular_file(special, kind):
    found = check(Source("s", f'net: "{special[kind]}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1'))
    assert [d.code for d in found if d.severity == "error"] == ["E001"]
    assert any(f"it is {kind}, not a regular file" in d.message for d in found)
