import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.hdf5 import HDF5Data, HDF5Output
from netc.runtime.file_access import allow_files
from tests.layers.contract import raises, round_trip, v1_name, values
from tests.layers.harness import layer_from, module_of


def test_data():
    layer = round_trip("HDF5Data", source="files.txt", batch_size=5, shuffle=True)
    assert layer == HDF5Data("files.txt", 5, True)
    assert layer.batch(((3, 4), (), (7,)), 2) == ((5, 3, 4), (5,))
    assert layer.batch(None, 3) == (None, None, None)
    assert layer.is_data
    assert layer.cost((), ((5, 3),)) == Cost()
    assert v1_name("HDF5Data") == "HDF5_DATA"


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"batch_size": 5}, "E101", "`source` is missing"),
        ({"source": "files.txt"}, "E103", "`batch_size` is required and must be positive"),
    ],
)
def test_data_parameters_that_do_not_fit(given, code, text):
    with raises(code, text):
        layer_from("HDF5Data", **given)


def test_data_is_not_transformed():
    from netc.ir.fields import Fields

    own = Fields({"source": "files.txt", "batch_size": 5})
    with raises("E101", "`HDF5Data` does not support `transform_param`"):
        HDF5Data.from_caffe(Fields({"hdf5_data_param": own, "transform_param": Fields({})}))


def test_fewer_datasets_than_tops():
    with raises("E102", "1 dataset for 2 tops"):
        HDF5Data("files.txt", 5).batch(((3,),), 2)


def test_output_writes_and_appends(tmp_path):
    path = tmp_path / "out.h5"
    path.write_bytes(b"old")
    layer = round_trip("HDF5Output", file_name=str(path))
    module = module_of(layer, ((2, 3, 4), (2,)), 0)
    allow_files(module, "any")
    batches = [(values(2, 3, 4, seed=i), values(2, seed=i + 9)) for i in range(3)]
    for bottoms in batches:
        assert module(*bottoms) == ()
    with h5py.File(path) as file:
        assert set(file) == {"data", "label"}
        assert file["data"].dtype == file["label"].dtype == np.float32
        for name, parts in zip(("data", "label"), zip(*batches)):
            expected = np.concatenate([p.numpy() for p in parts]).astype(np.float32)
            np.testing.assert_array_equal(file[name][()], expected.reshape((*expected.shape, 1, 1, 1)[:4]))
        assert file["data"].shape == (6, 3, 4, 1)


def test_output_where_nothing_can_be_written(tmp_path):
    bottoms = (values(2, 3), values(2))
    for path, text in ((tmp_path / "none" / "out.h5", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(NetcError, match=f"cannot write `{path}`: {text}") as caught:
            module_of(HDF5Output(str(path)), ((2, 3), (2,)), 0)(*bottoms)
        assert [(d.code, d.field) for d in caught.value.diagnostics] == [("E408", "hdf5_output_param.file_name")]


def test_output_whose_file_was_removed_or_replaced(tmp_path):
    path = tmp_path / "out.h5"
    bottoms = (values(2, 3), values(2))
    module = module_of(HDF5Output(str(path)), ((2, 3), (2,)), 0)
    module(*bottoms)
    path.write_bytes(b"something else")
    with raises("E408", "file signature not found"):
        module(*bottoms)
    path.unlink()
    with raises("E408", "no such file"):
        module(*bottoms)
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the room on a disk cannot be asked for")
def test_output_to_a_full_disk_keeps_the_old_file(tmp_path):
    import resource

    path = tmp_path / "out.h5"
    bottoms = (values(1000, 600), values(1000))
    module = module_of(HDF5Output(str(path)), ((1000, 600), (1000,)), 0)
    module(*bottoms)
    before = path.read_bytes()
    assert len(before) < 1.1 * 4 * 1000 * 601, "what was reserved is given back"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10_000, old[1]))
    try:
        with raises("E408", "file too large"):
            module(*bottoms)
        with raises("E408", "file too large"):
            module_of(HDF5Output(str(path)), ((1000, 600), (1000,)), 0)(values(3000, 600), values(3000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == before


FULL_DISK = """
import os, resource, signal
import numpy as np
from netc.layers.hdf5 import _write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
del os.posix_fallocate
arrays = [np.ones((50, 30, 1, 1), np.float32), np.ones((50, 1, 1, 1), np.float32)]
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def size(passes):
    limit(resource.RLIM_INFINITY)
    for index in range(passes):
        _write("out.h5", arrays, not index)
    return os.path.getsize("out.h5")
for passes in (1, 2):
    whole = size(passes)
    for most in range(whole % 577, whole + 1, 577):
        size(passes - 1)
        limit(most)
        try:
            _write("out.h5", arrays, passes == 1)
            print(most == whole)
        except OSError as error:
            print(error.strerror == "File too large")
"""


def test_output_to_a_disk_that_is_full_at_any_byte(tmp_path):
    """In a process of its own, which HDF5 could end."""
    pytest.importorskip("resource")
    run = subprocess.run([sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, set(run.stdout.split())) == (0, {"True"}), run.stderr
    assert len(run.stdout.split()) > 30


def test_output_shapes():
    assert HDF5Output("out.h5").infer(((UNKNOWN, 3), (2, 1, 1, 1)), 0) == ()
    assert HDF5Output("out.h5").cost(((2, 3), (2,)), ()) == Cost()
    assert v1_name("HDF5Output") == "HDF5_OUTPUT"
    with raises("E101", "`file_name` is missing"):
        layer_from("HDF5Output")
    with raises("E102", "expected a bottom with 1 to 4 axes, got .2,1,1,1,3."):
        HDF5Output("out.h5").infer(((2, 1, 1, 1, 3), (2,)), 0)
    with raises("E102", "2 items of data, but 3 of labels"):
        HDF5Output("out.h5").infer(((2, 3), (3,)), 0)


def test_output_is_idle_where_no_file_may_be_written(tmp_path):
    path = tmp_path / "out.h5"
    module = module_of(HDF5Output(str(path)), ((2, 3), (2,)), 0)
    allow_files(module, "none")
    assert module(values(2, 3), values(2)) == ()
    assert not path.exists()
    assert not module.state


@pytest.mark.parametrize("content", ["text", "hdf5", "own", "empty"])
def test_output_replaces_its_own_files_only(tmp_path, content):
    path = tmp_path / "out.h5"
    layer, bottoms = HDF5Output(str(path)), (values(2, 3), values(2))
    if content == "own":
        module_of(layer, ((2, 3), (2,)), 0)(values(5, 7), values(5))
    elif content == "hdf5":
        with h5py.File(path, "w") as file:
            file["data"] = np.zeros((4, 3, 1, 1), np.float32)
    else:
        path.write_text("notes" if content == "text" else "")
    before, module = path.read_bytes(), module_of(layer, ((2, 3), (2,)), 0)
    if content in ("text", "hdf5"):
        with raises("E412", f"`{path}` exists, and netc did not write it"):
            module(*bottoms)
        assert path.read_bytes() == before
        allow_files(module, "any")
    module(*bottoms)
    module(*bottoms)
    with h5py.File(path) as file:
        assert file["data"].shape == (4, 3, 1, 1)
