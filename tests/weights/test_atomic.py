import contextlib
import os
import subprocess
import sys

import pytest

from netc import convert
from netc.diagnostics import NetcError
from netc.weights import atomic_path, atomic_write, library_write
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


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 100 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 50 weight_filler { type: "xavier" } } }
"""


def write(path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


@contextlib.contextmanager
def limited(size):
    """Limit the size of files that this process writes, pytest's output among them; Python ignores the signal."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    "to", ["safetensors", "pt", "caffe", "py", "onnx", pytest.param("pt2", marks=pytest.mark.slow)]
)
def test_a_full_disk_while_a_model_is_written(to, checked, monkeypatch, tmp_path):
    """With room for the weights but not for the rest, or for nothing and without a check of the room."""
    net = tmp_path / "net.prototxt"
    net.write_text(NET)
    (tmp_path / "out").mkdir()
    if not checked:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    full = pytest.raises(NetcError, match=r"cannot write `.*`: file too large")
    with limited(20201 if checked else 100), full as error:
        convert(net, to=to, output=tmp_path / "out" / "m")
    assert error.value.diagnostics[0].code == "E408"
    assert os.listdir(tmp_path / "out") == []


def test_a_library_does_not_see_a_full_disk(tmp_path):
    def write_three(file):
        for _ in range(3):
            assert file.write(bytes(1 << 20)) == 1 << 20
        assert file.tell() == 3 << 20
        assert file.seek(0) == 0

    with library_write(tmp_path / "a") as file:
        write_three(file)
    assert (tmp_path / "a").stat().st_size == 3 << 20
    (tmp_path / "a").unlink()
    with limited(10), pytest.raises(NetcError, match="file too large"), library_write(tmp_path / "a") as file:
        write_three(file)
    assert os.listdir(tmp_path) == []


def test_a_model_and_its_weights_are_replaced_together(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    for to, weights in (("caffe", "caffemodel"), ("py", "safetensors")):
        folder = tmp_path / to
        folder.mkdir()
        (folder / f"m.{weights}").mkdir()
        with pytest.raises(NetcError, match="it is not a regular file"):
            convert(tmp_path / "net.prototxt", to=to, output=folder / "m")
        assert os.listdir(folder) == [f"m.{weights}"]


@pytest.mark.parametrize("size", [0, 1 << 60])
def test_room_is_asked_for(size, tmp_path):
    path = tmp_path / "a"
    write(path, b"old")
    if size:
        with pytest.raises(NetcError, match=r"file too large|no space left") as error, atomic_write(path, size):
            pytest.fail("nothing is written")
        assert error.value.diagnostics[0].code == "E408"
        assert path.read_bytes() == b"old"
    with atomic_write(path, 1000) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the name is empty"),
        ("a\0b", "a name cannot contain a NUL"),
        (".", "it is a directory"),
        ("..", "it is a directory"),
        ("/", "it is a directory"),
        ("{}/new/", "it is a directory"),
        ("{}", "it is not a regular file"),
        ("{}/" + "x" * 256, "file name too long"),
        ("{}/missing/a", "no such file or directory"),
    ],
)
def test_names_that_no_file_can_have(name, reason, tmp_path):
    path = name.format(tmp_path)
    error = error_of(write, path, b"")
    assert str(error) == f"cannot write `{path}`: {reason}"
    assert error.diagnostics[0].code == "E408"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["\u00e9" * 120, "\udce9" * 200, "a\nb\x1b", "-"])
def test_odd_names(name, tmp_path):
    write(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    assert os.listdir(tmp_path) == [name]


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
