"""`netc classify INPUT OUTPUT.npy`: what Caffe's classify.py does, against its steps in NumPy."""

import cv2
import numpy as np
import pytest
import torch

import netc
from netc import pycaffe as caffe
from netc.cli import main
from tests.conversion.nets import MIXED, trained, write

FILES = ("--model_def", "net.prototxt", "--pretrained_model", "w.caffemodel")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with net.prototxt, w.caffemodel and three images, in which the commands run."""
    from netc.conversion.writers import write_caffe

    write_caffe(trained(write(tmp_path, MIXED)), tmp_path / "w.prototxt")
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(2)
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "a.png", "c.jpg"):
        cv2.imwrite(f"photos/{name}", random.integers(0, 256, (40, 36, 3), np.uint8))
    return tmp_path


def expected(image, size, mean=0.0, scale=1.0, raw=255.0, swap=(2, 1, 0), ten=True):
    """The scores of an image (h, w, 3), RGB from 0 to 1."""
    net = netc.load("net.prototxt", "w.caffemodel").eval()
    _, _, height, width = net.graph.shape(net.graph.inputs[0])
    rows, columns = size[0] - height, size[1] - width
    resized = caffe.io.resize_image(image, size)
    corners = [(0, 0), (0, columns), (rows, 0), (rows, columns), (rows // 2, columns // 2)]
    crops = [resized[y : y + height, x : x + width] for y, x in (corners if ten else corners[4:])]
    crops += [crop[:, ::-1] for crop in crops] * ten
    planes = np.stack([crop.transpose(2, 0, 1)[list(swap)] for crop in crops]) * raw
    mean = np.reshape(np.broadcast_to(mean, 3), (3, 1, 1))
    with torch.no_grad():
        (scores,) = net(torch.from_numpy(np.ascontiguousarray((planes - mean) * scale, np.float32))).values()
    return scores.numpy().mean(0)


def pixels(name):
    return cv2.imread(f"photos/{name}")[:, :, ::-1].astype(np.float32) / np.float32(255)


def test_an_image(folder, capsys):
    assert main(["classify", "photos/a.png", "out.npy", *FILES]) == 0
    np.testing.assert_allclose(np.load("out.npy"), [expected(pixels("a.png"), (256, 256))], rtol=1e-4, atol=1e-5)
    assert capsys.readouterr().out == "out.npy: 1 image, 5 classes\n"


def test_every_option(folder):
    options = ("--mean_file", "1,2,3", "--input_scale", "0.5", "--images_dim", "30,34")
    more = ("--raw_scale", "2", "--channel_swap", "0,2,1", "--center_only", "--ext", "png")
    assert main(["classify", "photos", "out.npy", *FILES, *options, *more]) == 0
    wanted = [expected(pixels(name), (30, 34), (1, 2, 3), 0.5, 2, (0, 2, 1), ten=False) for name in ("a.png", "b.png")]
    np.testing.assert_allclose(np.load("out.npy"), wanted, rtol=1e-4, atol=1e-5)


def test_a_folder_has_jpg_files_by_default_and_an_empty_swap_keeps_the_order(folder):
    assert main(["classify", "photos", "out.npy", *FILES, "--channel_swap", ""]) == 0
    wanted = expected(pixels("c.jpg"), (256, 256), swap=(0, 1, 2))
    np.testing.assert_allclose(np.load("out.npy"), [wanted], rtol=1e-4, atol=1e-5)


def test_images_and_the_mean_image_in_npy_files(folder):
    images = np.random.default_rng(3).random((2, 40, 36, 3))
    mean = np.random.default_rng(4).random((3, 9, 9)) * 100
    np.save("in.npy", images)
    np.save("mean.npy", mean)
    assert main(["classify", "in.npy", "out.npy", *FILES, "--mean_file", "mean.npy"]) == 0
    wanted = [expected(image.astype(np.float32), (256, 256), mean.mean((1, 2))) for image in images]
    np.testing.assert_allclose(np.load("out.npy"), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["photos/a.png", "--raw_scale", "1"], 2, "`--raw-scale` requires an output file"),
        (["photos/a.png", "--center-only"], 2, "`--center-only` requires an output file"),
        (["photos/a.png", "out.npy", "--top", "3"], 2, "`--top` does not apply to an output file"),
        (["photos/a.png", "out.npy", "--phase", "train"], 2, "`--phase` does not apply to an output file"),
        (["photos/a.png", "out.npy", "--channel_swap", "b,g,r"], 2, "expected integers"),
        (["photos/a.png", "out.npy", "--channel_swap", "1,0"], 1, "E307"),
        (["photos", "out.npy", "--ext", "bmp"], 1, "no file in `photos` ends in `.bmp`"),
        (["gone.png", "out.npy"], 1, "cannot read `gone.png`"),
        (["mean.npy", "out.npy"], 1, "expected images (n, h, w, k) in `mean.npy`, got"),
    ],
)
def test_errors(folder, capsys, arguments, status, message):
    np.save("mean.npy", np.zeros((3, 9, 9)))
    assert main(["classify", *arguments, *FILES]) == status
    assert message in capsys.readouterr().err
    assert not (folder / "out.npy").exists()


@pytest.mark.parametrize("target", [["out.npy"], []])
def test_a_gpu_is_required_or_used(folder, capsys, target):
    status = main(["classify", "photos/a.png", *target, *FILES, "--gpu"])
    caffe.set_mode_cpu()
    if torch.cuda.is_available():
        assert status == 0
    else:
        assert status == 1
        assert "E310" in capsys.readouterr().err
