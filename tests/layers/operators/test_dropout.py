import numpy as np
import pytest

from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

X = numbers(100, 50)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("output", ["Y", "A"])
def test_random_elements_become_zero(train, output):
    operator = OneOperator("Dropout", X, outputs=(output, "M"), ratio=0.25, is_test=0)
    operator.net.train(train)
    y, mask = operator.run()
    assert mask.dtype == bool
    assert mask.mean() == pytest.approx(0.75, abs=0.05)
    close(y, X * mask / 0.75)
    again, _ = operator.run()
    assert (again != y).any()


def test_the_gradient_is_dropped_too():
    gradient = OneOperator("Dropout", X, outputs=("Y", "M"), ratio=0.75, is_test=0).gradients(np.ones_like(X))[0]
    assert set(np.unique(gradient)) == {0, 4}
    assert (gradient != 0).mean() == pytest.approx(0.25, abs=0.05)


def test_nothing_is_dropped_in_test():
    y, mask = OneOperator("Dropout", X, outputs=("Y", "M"), is_test=1).run()
    np.testing.assert_array_equal(y, X)
    assert mask.all()
    np.testing.assert_array_equal(run("Dropout", X, outputs=("A",), is_test=1, ratio=0.9), X)


def test_refused():
    with refused("E101", "requires the argument `is_test`"):
        run("Dropout", X, outputs=("Y", "M"))
    with refused("E103", "`ratio` is 1"):
        run("Dropout", X, outputs=("Y", "M"), is_test=0, ratio=1.0)
    with refused("E020", "expects 2 outputs, got 1"):
        run("Dropout", X, is_test=0)
