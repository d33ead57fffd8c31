"""A net in files, for the tests of what reads them."""

import pytest

from netc.conversion.writers import write_caffe
from tests.conversion.nets import MIXED, trained, write


@pytest.fixture
def mixed(tmp_path):
    """A prototxt and its .caffemodel, and the model they were made of."""
    model = trained(write(tmp_path, MIXED))
    prototxt, weights = write_caffe(model, tmp_path / "mixed.prototxt")
    return prototxt, weights, model
