import h5py
import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.hdf5 import HDF5Data, HDF5Output
from tests.layers.contract import names, raises, round_trip, values
from tests.layers.harness import layer_from, module_of


def test_data():
    layer = round_trip("HDF5Data", source="files.txt", batch_size=5, shuffle=True)
    assert layer == HDF5Data("files.txt", 5, True)
    assert layer.batch(((3, 4), (), (7,)), 2) == ((5, 3, 4), (5,))
    assert layer.batch(None, 3) == (None, None, None)
    assert layer.is_data
    assert layer.cost((), ((5, 3),)) == Cost()
    assert names("HDF5Data") == ("HDF5_DATA", ())


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"batch_size": 5}, "E101", "`source` is missing"),
        ({"source": "files.txt"}, "E103", "`batch_size` must be given, and positive"),
    ],
)
def test_data_parameters_that_do_not_fit(given, code, text):
    with raises(code, text):
        layer_from("HDF5Data", **given)


def test_data_is_not_transformed():
    from netc.ir.fields import Fields

    own = Fields({"source": "files.txt", "batch_size": 5})
    with raises("E101", "`HDF5Data` does not transform its data"):
        HDF5Data.from_caffe(Fields({"hdf5_data_param": own, "transform_param": Fields({})}))


def test_fewer_datasets_than_tops():
    with raises("E102", "1 datasets for 2 tops"):
        HDF5Data("files.txt", 5).batch(((3,),), 2)


def test_output_writes_and_goes_on(tmp_path):
    path = tmp_path / "out.h5"
    path.write_bytes(b"old")
    layer = round_trip("HDF5Output", file_name=str(path))
    module = module_of(layer, ((2, 3, 4), (2,)), 0)
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


def test_output_shapes():
    assert HDF5Output("out.h5").infer(((UNKNOWN, 3), (2, 1, 1, 1)), 0) == ()
    assert HDF5Output("out.h5").cost(((2, 3), (2,)), ()) == Cost()
    assert names("HDF5Output") == ("HDF5_OUTPUT", ())
    with raises("E101", "`file_name` is missing"):
        layer_from("HDF5Output")
    with raises("E102", "a bottom .2,1,1,1,3. of 5 axes: 1 to 4 can be written"):
        HDF5Output("out.h5").infer(((2, 1, 1, 1, 3), (2,)), 0)
    with raises("E102", "2 items of data, but 3 of labels"):
        HDF5Output("out.h5").infer(((2, 3), (3,)), 0)
