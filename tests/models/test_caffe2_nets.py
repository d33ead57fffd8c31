"""The NetDefs in models/ are what `netc convert` writes of the prototxts next to them. NETC_BLESS=1 writes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.conversion.convert import convert
from netc.conversion.models import open_net

MODELS = Path(__file__).parents[2] / "models"
NETS = ("resnet50", "squeezenet")


@pytest.mark.parametrize("name", NETS)
def test_a_predict_net_is_fresh(tmp_path, name):
    written = convert(MODELS / name / "deploy.prototxt", to="caffe2", output=tmp_path / "predict_net.pbtxt").files[0]
    held = MODELS / name / "predict_net.pbtxt"
    if "NETC_BLESS" in os.environ:
        held.write_text(written.read_text())
    assert held.read_text() == written.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_predict_net_computes_the_same(tmp_path, name):
    path = MODELS / name / "deploy.prototxt"
    predict, init = convert(path, to="caffe2", output=tmp_path / "predict_net.pb").files[:2]
    opened, loaded = open_net(path), netc.load(predict, weights=init)
    x = np.random.default_rng(1).standard_normal((1, *opened.graph.shape("data")[1:]), np.float32)
    found, wanted = loaded.run({"data": x}), opened.run({"data": x})
    np.testing.assert_allclose(found["prob"], wanted["prob"], rtol=1e-3, atol=1e-6)
