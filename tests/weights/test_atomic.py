import os
import subprocess
import sys

import pytest

from netc.weights import atomic_path, atomic_write
from tests.weights.fixtures import code_of, error_of

FULL_DISK = """
import resource, signal, sys
import numpy as np
from netc.diagnostics import NetcError
from netc.weights import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
blob = BlobArray(np.ones(100000, np.float32))
weights, state = Weights((LayerBlobs("a", "", (blob,)),)), SolverState(1, None, (blob,))
for write, value in ((write_caffemodel, weights), (write_caffemodel_hdf5, weights), (write_solverstate, state),
                     (write_solverstate_hdf5, state), (write_blob, blob.data)):
    try:
        write(sys.argv[1], value)
    except NetcError as error:
        print(error.diagnostics[0].code)
"""


def write(path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


def interrupted(path, error: BaseException) -> None:
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        raise error


def test_new_and_replaced(tmp_path):
    path = tmp_path / "a"
    write(path, b"one")
    write(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_the_old_file_is_unchanged_after_an_error(error, tmp_path):
    path = tmp_path / "a"
    write(path, b"old")
    with pytest.raises(type(error)):
        interrupted(path, error)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_old_file_exists_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a"
    write(path, b"old")
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == tmp_path
    assert path.read_bytes() == b"new"


def test_a_full_disk(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["E408"] * 5
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["w"]


def test_permissions_and_links(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    previous = os.umask(0o027)
    try:
        write(path, b"1")
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o604)
    link.symlink_to("a")
    write(link, b"2")
    assert link.is_symlink()
    assert path.read_bytes() == b"2"
    assert path.stat().st_mode & 0o777 == 0o604


def test_paths_that_cannot_be_written(tmp_path):
    error = error_of(write, tmp_path / "missing" / "a", b"")
    assert str(error) == f"cannot write `{tmp_path / 'missing' / 'a'}`: no such file or directory"
    assert code_of(write, tmp_path, b"") == "E408"
    assert code_of(write, os.devnull, b"") == "E408"
    assert code_of(write, tmp_path / ("x" * 300), b"") == "E408"


def test_an_error_of_another_file_is_not_converted(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert not os.listdir(tmp_path)
