import numpy as np
import pytest

from netc.layers.metric_learning.unit_vectors import CosinL2Normalize, SimpleNormalize
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, run, shapes_of

REQUIRED = {"CosinL2Normalize": "num_output: 2"}
CASES = [
    Case(SimpleNormalize(), ((3, 4),), ((2, 3, 2),), source=Source(reads_top="values")),
    Case(CosinL2Normalize(4), ((3, 6), (3,)), ((5, 3, 2), (5, 1)), integers=(1,), below=4, source=Source()),
]


def test_forward():
    x, labels = values(3, 2, 2), values(3) * 0 + 1
    rows = x.numpy().reshape(3, 4)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(run(SimpleNormalize(), x)[0].reshape(3, 4), unit)
    module = module_of(CosinL2Normalize(5, margin=-0.2, scale=3.0), shapes_of((x, labels))).double()
    module.weight.data.copy_(values(5, 4, seed=2))
    weight = module.weight.detach().numpy()
    expected = unit @ (weight / np.linalg.norm(weight, axis=1, keepdims=True)).T
    expected[:, 1] -= 0.2
    np.testing.assert_allclose(module(x, labels).detach(), 3 * expected)


def test_files():
    assert round_trip("CosinL2Normalize", num_output=3, margin=-0.5, scale=8.0).margin == -0.5


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [("E103", "`num_output` is 0", "CosinL2Normalize", {"cosin_loss_param": {"num_output": 0}})],
)
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)


def test_shapes():
    with raises("E102", "expected|bottom|axis|labels"):
        SimpleNormalize().infer(((),), 1)
    with raises("E102", "expected|bottom|axis|labels"):
        CosinL2Normalize(3).infer(
            (
                (4, 5),
                (3,),
            ),
            1,
        )
