"""The scripts of models/pycaffe, run by `netc run` on digits and photographs, and what they compute."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.cli import main

ROOT = Path(__file__).parents[2]
SCRIPTS, LENET = ROOT / "models" / "pycaffe", ROOT / "models" / "lenet"
DEPLOY = str(LENET / "deploy.prototxt")
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _process(tmp_path, monkeypatch):
    """A working directory, and the modules and the search path that the process had before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("caffe", "multilabel_layers", "siamese"):
            del sys.modules[name]


@pytest.fixture
def run(capsys):
    """`run(script, *arguments)`: what the script printed."""

    def call(script, *arguments):
        assert main(["run", str(SCRIPTS / script), *map(str, arguments)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return call


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e[+-]\d+)?", text)]


def write_random_weights(net, path):
    """Weights that keep the variance of activations, for a definition without trained ones (He et al. 2015)."""
    random = np.random.default_rng(3)
    for blobs in net.params.values():
        shape = blobs[0].shape
        blobs[0].data[...] = random.normal(size=shape, scale=np.sqrt(2 / np.prod(shape[1:])))
    net.save(path)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """A LeNet that `learn_lenet.py` trained; its weights, and what the script printed."""
    folder = tmp_path_factory.mktemp("lenet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        printed = []
        patch.setattr("builtins.print", lambda *values, **_: printed.append(" ".join(map(str, values))))
        arguments = [str(SCRIPTS / "learn_lenet.py"), str(LENET / "train_lmdb"), str(LENET / "test_lmdb"), "100", "."]
        assert main(["run", *arguments]) == 0
    for name in [name for name in sys.modules if name.partition(".")[0] == "caffe"]:
        del sys.modules[name]
    return folder / "lenet.caffemodel", printed[-1]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Sixty test images (28, 28) and their labels."""
    import lmdb

    from netc.pycaffe.proto import caffe_pb2

    copy = tmp_path_factory.mktemp("digits") / "lmdb"  # a process opens a database once
    shutil.copytree(LENET / "test_lmdb", copy)
    with lmdb.open(str(copy), readonly=True, lock=False) as database, database.begin() as transaction:
        records = [caffe_pb2.Datum.FromString(value) for _, value in transaction.cursor()][:60]
    return np.stack([caffe.io.datum_to_array(record)[0] for record in records]), [record.label for record in records]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A photograph of a temple and one of a flower, 427 x 640."""
    datasets = pytest.importorskip("sklearn.datasets")
    folder = tmp_path_factory.mktemp("photographs")
    images = Path(datasets.__file__).parent / "images"
    return tuple(shutil.copy(images / f"{name}.jpg", folder) for name in ("china", "flower"))


def test_lenet_learns(lenet):
    first, last, accuracy = numbers(lenet[1])
    assert first > 1.5
    assert last < 0.4
    assert accuracy > 0.9


def test_classification_with_oversampling(lenet, digits, run):
    images, labels = digits
    names = []
    for index, image in enumerate(images[:20]):
        names.append(f"{index}.png")
        cv2.imwrite(names[-1], image)
    lines = run("classify_digits.py", DEPLOY, lenet[0], *names).splitlines()
    crops, center = np.load("scores.npy")
    assert (crops.argmax(axis=1) == labels[:20]).mean() > 0.7  # mirrored digits are among the crops
    assert (center.argmax(axis=1) == labels[:20]).mean() > 0.85
    assert [int(re.search(r": (\d)", line)[1]) for line in lines] == crops.argmax(axis=1).tolist()
    net = caffe.Classifier(DEPLOY, str(lenet[0]), image_dims=(30, 30), raw_scale=255, input_scale=1 / 256)
    image = caffe.io.resize_image(caffe.io.load_image("0.png", color=False), (30, 30))
    items = np.stack([net.transformer.preprocess("data", crop) for crop in caffe.io.oversample([image], (28, 28))])
    np.testing.assert_allclose(net.forward_all(data=items)["prob"].mean(axis=0), crops[0], atol=1e-6)


def test_surgery_scores_all_windows(lenet, digits, run):
    images, labels = digits
    size = 28 + 4 * 7
    sheet = np.zeros((size, size), np.uint8)
    for row, column in np.ndindex(2, 2):
        sheet[28 * row : 28 * row + 28, 28 * column : 28 * column + 28] = images[2 * row + column]
    cv2.imwrite("sheet.png", sheet)
    printed = run("net_surgery.py", DEPLOY, lenet[0], size, "sheet.png")
    assert "['ip1', 'ip2'] cast" in printed
    scores, given = np.load("map.npy"), np.load("input.npy")
    assert scores.shape == (1, 10, 8, 8)
    assert [int(scores[0, :, y, x].argmax()) for y, x in ((0, 0), (0, 7), (7, 0), (7, 7))] == labels[:4]
    net = caffe.Net(DEPLOY, str(lenet[0]), caffe.TEST)
    windows = [given[0, :, 4 * y : 4 * y + 28, 4 * x : 4 * x + 28] for y, x in np.ndindex(8, 8)]
    expected = net.forward_all(data=np.stack(windows))["prob"]
    np.testing.assert_allclose(scores[0].reshape(10, 64).T, expected, atol=1e-5)


def test_surgery_of_caffenet(photographs, run):
    """An input of 227 x 227 to one of 451 x 451, and a map of 8 x 8 places."""
    deploy = str(ROOT / "models" / "caffenet" / "deploy.prototxt")
    net = caffe.Net(deploy, caffe.TEST)
    write_random_weights(net, "caffenet.caffemodel")
    assert "['fc6', 'fc7', 'fc8'] cast" in run("net_surgery.py", deploy, "caffenet.caffemodel", 451, photographs[0])
    assert np.load("map.npy").shape == (1, 1000, 8, 8)
    full = caffe.Net("conv.prototxt", "conv.caffemodel", caffe.TEST)
    image = caffe.io.resize_image(caffe.io.load_image(photographs[0]), (227, 227)).transpose(2, 0, 1)[None]
    for each in (net, full):
        each.blobs["data"].reshape(1, 3, 227, 227)
    (expected,), (found,) = net.forward(data=image).values(), full.forward(data=image).values()
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found[:, :, 0, 0], expected, rtol=1e-3, atol=1e-7)


def test_dream(photographs, run):
    path = str(ROOT / "models" / "googlenet" / "deploy.prototxt")
    write_random_weights(caffe.Net(path, caffe.TEST), "googlenet.caffemodel")
    cv2.imwrite("part.png", cv2.imread(str(photographs[1]))[100:309, 100:473])
    printed = run("dream.py", path, "googlenet.caffemodel", "inception_3b/output", 8, "part.png")
    assert "(1, 480, 26, 46)" in printed
    before, after = (float(found) for found in printed.partition(": ")[2].split(" to "))
    assert after > 1.03 * before > 0
    image = np.load("dream.npy")
    assert image.shape == (3, 209, 373)
    assert (image >= 0).all()
    assert (image <= 256).all()


def test_saliency(lenet, digits, run):
    cv2.imwrite("digit.png", digits[0][3])
    assert f"class {digits[1][3]}, " in run("saliency.py", DEPLOY, lenet[0], "ip2", "digit.png")
    gradient, saliency = np.load("gradient.npy"), np.load("saliency.npy")
    assert saliency.shape == (28, 28)
    net = caffe.Net(DEPLOY, str(lenet[0]), caffe.TEST)
    net.blobs["data"].reshape(1, 1, 28, 28)
    image = caffe.io.load_image("digit.png", color=False).transpose(2, 0, 1)[None]
    step = 1e-2 * gradient / np.abs(gradient).max()

    def score(values):
        net.blobs["data"].data[...] = values
        return float(net.forward(end="ip2")["ip2"][0, digits[1][3]])

    slope = (score(image + step) - score(image - step)) / 2
    assert slope == pytest.approx(float((gradient * step).sum()), rel=0.02)


def test_fine_tuning(lenet, run):
    before, after = numbers(run("fine_tune.py", lenet[0], LENET / "train_lmdb", 60))
    assert before < 0.75
    assert after > 0.9


def test_several_labels(photographs, run):
    first, last, *right = numbers(run("learn_multilabel.py", photographs[0], 150))
    assert last < 0.6 * first
    assert len(right) == 3
    assert min(right) > 0.75


def test_a_siamese_net(run):
    first, last, *distances = numbers(run("siamese.py", LENET / "train_lmdb", 120))
    assert last < 0.6 * first
    assert distances[1] / distances[3] < 0.9 * distances[0] / distances[2]


def test_merging_batch_norm(photographs, run):
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 60 dim: 80 } } }
    layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 8 kernel_size: 3
            bias_term: false weight_filler { type: "msra" } } }
    layer { name: "a_bn" type: "BatchNorm" bottom: "a" top: "a_bn" }
    layer { name: "a_scale" type: "Scale" bottom: "a_bn" top: "a_scale" scale_param { bias_term: true } }
    layer { name: "a_relu" type: "ReLU" bottom: "a_scale" top: "a_scale" }
    layer { name: "b" type: "Convolution" bottom: "a_scale" top: "b" convolution_param { num_output: 5 kernel_size: 3
            weight_filler { type: "msra" } bias_filler { type: "gaussian" } } }
    layer { name: "b_bn" type: "BatchNorm" bottom: "b" top: "b" }
    layer { name: "b_scale" type: "Scale" bottom: "b" top: "b" scale_param { bias_term: true } }
    """
    Path("net.prototxt").write_text(text)
    trained = caffe.Net("net.prototxt", caffe.TRAIN)
    image = caffe.io.resize_image(caffe.io.load_image(photographs[1]), (60, 80)).transpose(2, 0, 1)[None]
    random = np.random.default_rng(2)
    for name in ("a_scale", "b_scale"):
        trained.params[name][0].data[...] = random.uniform(0.5, 2, trained.params[name][0].shape)
        trained.params[name][1].data[...] = random.normal(size=trained.params[name][1].shape)
    for _ in range(3):
        trained.forward(data=image)
    trained.save("net.caffemodel")
    expected = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST).forward(data=image)["b"]
    printed = run("merge_batch_norm.py", "net.prototxt", "net.caffemodel", "merged.prototxt", "merged.caffemodel")
    assert printed == "merged a_bn, a_scale, b_bn, b_scale\n"
    merged = caffe.Net("merged.prototxt", "merged.caffemodel", caffe.TEST)
    assert [layer.type for layer in merged.layers] == ["Input", "Convolution", "ReLU", "Convolution"]
    np.testing.assert_allclose(merged.forward(data=image)["b"], expected, rtol=1e-3, atol=1e-4)


def test_pruning(lenet, run):
    text = (LENET / "train_val.prototxt").read_text().replace("models/lenet/", f"{LENET}/")
    Path("train_val.prototxt").write_text(text)
    *shares, before, after = numbers(run("prune.py", "train_val.prototxt", lenet[0], 0.5, 3))
    assert shares == [pytest.approx(0.5, abs=0.01)] * 4
    assert after > before - 0.05 > 0.8
    saved = caffe.Net(DEPLOY, "pruned.caffemodel", caffe.TEST)
    assert np.mean(saved.params["ip1"][0].data == 0) == pytest.approx(0.5, abs=0.01)
