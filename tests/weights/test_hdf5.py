import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

from netc.weights import (
    BlobArray,
    LayerBlobs,
    SolverState,
    Weights,
    hdf5_file,
    read,
    read_caffemodel_hdf5,
    read_solverstate,
    write_caffemodel_hdf5,
    write_solverstate_hdf5,
)
from netc.weights.hdf5_file import stored_dataset
from tests.weights.fixtures import REFERENCE, array, code_of, error_of


def described(path) -> dict[str, tuple]:
    """Every object of the file: type, shape, on-disk type and bytes."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Group):
            found[name] = ("group",)
        else:
            kind = item.id.get_type()
            pad = kind.get_strpad() if isinstance(kind, h5py.h5t.TypeStringID) else None
            found[name] = (item.shape, kind.get_class(), kind.get_size(), pad, np.asarray(item[()]).tobytes())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def made(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def test_weights_that_caffe_wrote(tmp_path):
    weights = read(REFERENCE / "sgd.caffemodel.h5")
    assert [layer.name for layer in weights.layers] == ["act", "data", "ip1", "ip2", "label", "loss"]
    assert [[blob.shape for blob in layer.blobs] for layer in weights.layers[1:4]] == [
        [],
        [(7, 6), (7,)],
        [(4, 7), (4,)],
    ]
    with h5py.File(REFERENCE / "sgd.caffemodel.h5") as file:
        np.testing.assert_array_equal(weights.layers[2].blobs[0].data, file["data/ip1/0"][()], strict=True)
    assert not weights.layers[2].blobs[0].data.flags.owndata
    assert write_caffemodel_hdf5(tmp_path / "again", weights) == ()
    assert described(tmp_path / "again") == described(REFERENCE / "sgd.caffemodel.h5")


def test_solver_state_that_caffe_wrote(tmp_path):
    state = read_solverstate(REFERENCE / "sgd.solverstate.h5")
    assert (state.iter, state.learned_net, state.current_step) == (6, "snap_iter_6.caffemodel.h5", 0)
    assert [blob.shape for blob in state.history] == [(7, 6), (7,), (4, 7), (4,)]
    write_solverstate_hdf5(tmp_path / "again", state)
    assert described(tmp_path / "again") == described(REFERENCE / "sgd.solverstate.h5")


def test_layers_with_slashes_gaps_and_diffs(tmp_path):
    layers = (
        LayerBlobs("conv1", "", (BlobArray(array(2, 3), array(3, 2).T), BlobArray(array(3, dtype="<f8")))),
        LayerBlobs("inception/1x1", "", (BlobArray(array(5, 2)),)),
        LayerBlobs("inception/3x3/reduce", "", (None, BlobArray(array(4)))),
    )
    (warning,) = write_caffemodel_hdf5(tmp_path / "w", Weights(layers))
    assert warning.code == "W410"
    assert "2 layers" in warning.message
    again = read_caffemodel_hdf5(tmp_path / "w").layers
    assert [layer.name for layer in again] == [layer.name for layer in layers]
    assert again[2].blobs[0] is None
    for before, after in zip(layers, again, strict=True):
        for ours, theirs in zip(before.blobs, after.blobs, strict=True):
            if ours is not None:
                np.testing.assert_array_equal(theirs.data, ours.data, strict=True)
    np.testing.assert_array_equal(again[0].blobs[0].diff, layers[0].blobs[0].diff)
    assert again[0].blobs[1].diff is None


def test_a_long_history_is_read_in_order(tmp_path):
    blobs = tuple(BlobArray(np.full((), n, np.float32)) for n in range(23))
    write_solverstate_hdf5(tmp_path / "s", SolverState(7, None, blobs, 3))
    state = read_solverstate(tmp_path / "s")
    assert [float(blob.data) for blob in state.history] == list(range(23))
    assert (state.iter, state.learned_net, state.current_step) == (7, None, 3)


def test_compressed_half_precision_and_integer_datasets(tmp_path):
    values = array(40, 50)

    def fill(file):
        file.create_dataset("data/a/0", data=values, compression="gzip", chunks=(8, 8))
        file["data/a/1"] = values[:2].astype(">f8")
        file["data/a/2"] = values[:3].astype("<f2")
        file["data/a/3"] = np.arange(5)

    blobs = read(made(tmp_path / "w", fill)).layers[0].blobs
    np.testing.assert_array_equal(blobs[0].data, values, strict=True)
    np.testing.assert_array_equal(blobs[1].data, values[:2].astype("<f8"), strict=True)
    np.testing.assert_array_equal(blobs[2].data, values[:3].astype("<f2"), strict=True)
    np.testing.assert_array_equal(blobs[3].data, np.arange(5, dtype="<f4"), strict=True)


def external_link(file):
    file["data/a/0"] = h5py.ExternalLink("/etc/hostname", "/x")


def soft_link(file):
    file["data/a/0"] = h5py.SoftLink("/data/a")


def external_storage(file):
    file.create_dataset("data/a/0", shape=(4,), dtype="<f4", external=[("/etc/hostname", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("data/a/0", layout)


def strings(file):
    file["data/a/0"] = b"text"


def compound(file):
    file["data/a/0"] = np.zeros(3, [("a", "<f4")])


def huge(file):
    file.create_dataset("data/a/0", shape=(1 << 40, 1 << 20), dtype="<f4", chunks=(1, 1))


def unwritten(file):
    file.create_dataset("data/a/0", shape=(1 << 20,), dtype="<f4")


def zip_bomb(file):
    file.create_dataset("data/a/0", shape=(1 << 23,), dtype="<f4", chunks=(1 << 20,), compression=9, fillvalue=0)
    file["data/a/0"][:] = 0


def wide_chunk(file):
    """A dataset of four values in a chunk of 1 GB."""
    data = file.create_dataset("data/a/0", (4,), "<f4", maxshape=(None,), chunks=(1 << 28,), compression=1)
    data.id.write_direct_chunk((0,), zlib.compress(bytes(16)))


def long_stream(file):
    """A chunk of 16 bytes whose compressed stream holds 32 MB."""
    data = file.create_dataset("data/a/0", (4,), "<f4", chunks=(4,), compression=1)
    data.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 25)))


def compressed_twice(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_deflate(9)
    properties.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (9,))
    group = file.create_group("data/a")
    made = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,)), dcpl=properties)
    h5py.Dataset(made)[:] = 1


def scaled(file):
    file.create_dataset("data/a/0", data=np.arange(8, dtype="<i4"), chunks=(8,), scaleoffset=0)


def cycle(file):
    group = file.create_group("data/a")
    group["b"] = file["data"]


def wide_cycle(file):
    group = file.create_group("data/a")
    for n in range(20):
        group[f"g{n}"] = file["data"]


def gap(file):
    file["data/a/99999"] = array(2)


@pytest.mark.parametrize(
    ("fill", "code"),
    [
        (external_link, "E406"),
        (soft_link, "E406"),
        (external_storage, "E406"),
        (virtual, "E406"),
        (strings, "E406"),
        (compound, "E406"),
        (huge, "E404"),
        (unwritten, "E404"),
        (zip_bomb, "E405"),
        (wide_chunk, "E405"),
        (long_stream, "E405"),
        (compressed_twice, "E406"),
        (scaled, "E406"),
        (cycle, "E405"),
        (wide_cycle, "E405"),
        (gap, "E404"),
        (lambda file: file.create_dataset("data/0", data=array(2)), "E402"),
        (lambda file: file.create_dataset("data", data=array(2)), "E402"),
        (lambda file: file.create_dataset("data/a/0", data=h5py.Empty("<f4")), "E406"),
        (lambda file: file.create_group("model_weights"), "E402"),
    ],
)
def test_hostile_weights(fill, code, tmp_path):
    assert code_of(read, made(tmp_path / "w", fill)) == code


@pytest.mark.parametrize("filters", [{"compression": 9}, {"compression": "lzf"}, {"shuffle": True, "fletcher32": True}])
def test_usual_filters(filters, tmp_path):
    values = array(300, 50)
    fill = made(tmp_path / "w", lambda file: file.create_dataset("data/a/0", data=values, chunks=(200, 50), **filters))
    np.testing.assert_array_equal(read(fill).layers[0].blobs[0].data, values, strict=True)


@pytest.mark.parametrize(
    ("fill", "code"),
    [
        (external_link, "E406"),
        (external_storage, "E406"),
        (virtual, "E406"),
        (lambda file: file["data/a"].update({"0": h5py.SoftLink("/elsewhere")}), "E406"),
        (compressed_twice, "E405"),
        (wide_chunk, "E405"),
    ],
)
def test_hostile_datasets_of_data_files(fill, code, tmp_path):
    def whole(file):
        file.create_group("data/a")
        file["elsewhere"] = h5py.ExternalLink("/etc/hostname", "/x")
        fill(file)

    with h5py.File(made(tmp_path / "d", fill if fill is compressed_twice else whole)) as file:
        assert code_of(stored_dataset, file, "data/a/0") == code


def test_datasets_of_data_files(tmp_path):
    def fill(file):
        file["x"] = array(2, 3)
        file["soft"] = h5py.SoftLink("/group/inner")
        file["group/inner"] = h5py.SoftLink("again")
        file["group/again"] = array(2, 3)
        file["loop"] = h5py.SoftLink("loop")

    with h5py.File(made(tmp_path / "d", fill)) as file:
        for name in ("x", "soft", "/group/again"):
            np.testing.assert_array_equal(stored_dataset(file, name)[()], array(2, 3))
        for name in ("group", "missing", "x/y", "loop", "missing/y"):
            assert stored_dataset(file, name) is None


def test_one_dataset_linked_many_times(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_file, "FREE_BYTES", 0)

    def fill(file):
        first = file.create_dataset("data/a/0", data=array(1 << 12))
        for n in range(1, 1000):
            file[f"data/a/{n}"] = first

    assert code_of(read, made(tmp_path / "w", fill)) == "E405"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda file: file.create_dataset("iter", data=array(1)), "E404"),
        (lambda file: file.create_dataset("iter", data=np.arange(1 << 20)), "E404"),
        (lambda file: file.create_group("iter"), "E402"),
        (lambda file: (file.create_dataset("iter", data=[3]), file.create_dataset("learned_net", data=5)), "E404"),
        (lambda file: (file.create_dataset("iter", data=[3]), file.create_dataset("history/1", data=array(2))), "E404"),
    ],
)
def test_hostile_solver_states(change, code, tmp_path):
    def fill(file):
        file.create_group("history")
        change(file)

    assert code_of(read_solverstate, made(tmp_path / "s", fill)) == code


def test_a_string_of_variable_length(tmp_path):
    def fill(file):
        file["iter"] = np.array([2], "<i8")
        file["learned_net"] = "naïve.caffemodel.h5"
        file.create_group("history")

    state = read_solverstate(made(tmp_path / "s", fill))
    assert (state.iter, state.learned_net, state.history) == (2, "naïve.caffemodel.h5", ())


@pytest.mark.parametrize(
    "names", [["a", "a"], [""], ["a/"], ["."], ["a//b"], ["../a"], ["a\0b"], ["a", "a/0"], ["a", "a/0/b"], ["\udce9"]]
)
def test_names_that_are_not_valid_in_hdf5(names, tmp_path):
    weights = Weights(tuple(LayerBlobs(name, "", (BlobArray(array(2)),)) for name in names))
    assert code_of(write_caffemodel_hdf5, tmp_path / "w", weights) == "E409"
    assert not list(tmp_path.iterdir())


def test_the_error_names_a_damaged_file(tmp_path):
    data = (REFERENCE / "sgd.caffemodel.h5").read_bytes()
    (tmp_path / "w").write_bytes(data[: len(data) // 2])
    assert str(error_of(read, tmp_path / "w")) == f"`{tmp_path / 'w'}` is a damaged HDF5 file"


FULL_DISK = """
import os, resource, signal, sys
import numpy as np
from netc.diagnostics import NetcError
from netc.weights import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if sys.argv[1] == "while writing":
    del os.posix_fallocate
rows = np.arange(600, dtype=np.float32)
blobs = tuple(BlobArray(rows[:count]) for count in (500, 7, 90))
weights = Weights(tuple(LayerBlobs(name, "", blobs) for name in ("conv", "a/b", "a/c")))
state = SolverState(3, "a.caffemodel.h5", blobs, 1, "commit")
for write, value in ((write_caffemodel_hdf5, weights), (write_solverstate_hdf5, state)):
    write("file", value)
    size = os.path.getsize("file")
    os.unlink("file")
    for limit in (*range(0, size, 601), 4042, size - 1, size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write("file", value)
            print(limit == size)
        except NetcError as error:
            print(str(error) == "cannot write `file`: file too large" and limit < size)
            assert not os.listdir(), limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.unlink("file")
"""


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_a_disk_that_is_full_at_any_byte(when, tmp_path):
    """In a process of its own, which HDF5 could end."""
    pytest.importorskip("resource")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, when], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, set(run.stdout.split())) == (0, {"True"}), run.stderr
    assert len(run.stdout.split()) > 40
