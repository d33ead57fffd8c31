import numpy as np
import pytest

import netc
from netc.layers.power_file import PowerFile
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import run

CASES = [
    Case(PowerFile(), ((2, 3),), ((4, 3),), source=Source()),
]
NET = """
input: "x" input_shape { dim: 2 dim: 2 dim: 2 }
layer { name: "p" type: "PowerFile" bottom: "x" top: "y" power_file_param { shift_file: "shift.txt" } }
"""


@pytest.mark.parametrize(
    ("content", "shift"),
    [("1 0 -0.5\n2e1 7", [1, 0, -0.5, 20]), ("3 4", [3, 4, 0, 0]), ("3 x 4", [3, 0, 0, 0]), ("", [0, 0, 0, 0])],
)
def test_file(tmp_path, content, shift):
    (tmp_path / "shift.txt").write_text(content)
    (tmp_path / "net.prototxt").write_text(NET)
    x = values(2, 2, 2).float()
    found = netc.load(tmp_path / "net.prototxt")(x=x)["y"].numpy()
    np.testing.assert_allclose(found, x.numpy() + np.reshape(shift, (2, 2)), rtol=1e-6)


def test_missing_file(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    with raises("E501", "cannot read `.*shift.txt`: No such file"):
        netc.load(tmp_path / "net.prototxt")


def test_without_a_file():
    x = values(2, 3)
    np.testing.assert_array_equal(run(PowerFile(), x)[0], x)
    assert round_trip("PowerFile", shift_file="a.txt") == PowerFile("a.txt")
    with raises("E102", "expected items"):
        PowerFile().infer(((),), 1)
