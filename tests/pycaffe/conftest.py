import pytest

import netc.pycaffe as caffe


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`load(text, phase=caffe.TEST, *rest, **settings)`: the pycaffe net of prototxt text, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    count = 0

    def make(text, phase=caffe.TEST, **settings):
        nonlocal count
        count += 1
        path = tmp_path / f"net{count}.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), phase, **settings)

    caffe.set_mode_cpu()
    caffe.set_random_seed(1)
    return make
