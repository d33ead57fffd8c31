"""tools/make_shapes.py: annotations, class maps and images agree, and depend only on the seed."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.slow

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_shapes.py"
CLASSES = {"disk": 1, "square": 2, "triangle": 3}


def make(folder, *arguments):
    subprocess.run([sys.executable, TOOL, folder, *arguments], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return make(tmp_path_factory.mktemp("shapes"), "--train", "12", "--test", "4")


def palette_indices(path):
    from PIL import Image

    return np.asarray(Image.open(path))


def boxes(path):
    for found in ElementTree.parse(path).iter("object"):
        box = found.find("bndbox")
        left, top, right, bottom = (int(box.find(name).text) for name in ("xmin", "ymin", "xmax", "ymax"))
        yield CLASSES[found.find("name").text], (left - 1, top - 1, right, bottom)


def test_sets_name_all_images(shapes):
    for kind in ("Main", "Segmentation"):
        train, test = (
            (shapes / "ImageSets" / kind / f"{split}.txt").read_text().split() for split in ("train", "test")
        )
        assert (len(train), len(test)) == (12, 4)
        assert sorted(train + test) == sorted(file.stem for file in (shapes / "Annotations").iterdir())


def test_boxes_enclose_the_pixels_of_their_class(shapes):
    pytest.importorskip("PIL")
    for file in (shapes / "Annotations").iterdir():
        indices = palette_indices(shapes / "SegmentationClass" / f"{file.stem}.png")
        assert cv2.imread(str(shapes / "JPEGImages" / f"{file.stem}.jpg")).shape[:2] == indices.shape
        outside = indices.copy()
        for label, (left, top, right, bottom) in boxes(file):
            part = indices[top:bottom, left:right]
            rows, columns = np.nonzero(part == label)
            # The outline, two pixels wide, is void.
            assert rows.min() <= 6
            assert columns.min() <= 6
            outside[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = 0
        assert not outside.any()


def test_images_depend_on_the_seed_only(shapes, tmp_path):
    again, other = (
        make(tmp_path / "a", "--train", "3", "--test", "0"),
        make(tmp_path / "b", "--train", "3", "--seed", "1"),
    )
    for name in ("JPEGImages/000002.jpg", "Annotations/000003.xml", "SegmentationClass/000001.png"):
        assert (again / name).read_bytes() == (shapes / name).read_bytes()
        assert (other / name).read_bytes() != (shapes / name).read_bytes()
