"""ImageData: lists, their labels, resizing, and what is wrong with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from netc.data import open_source
from netc.data.pipeline.device_feed import DeviceFeed
from netc.diagnostics import NetcError
from netc.ir.transform import Transform
from netc.layers.data import ImageData
from tests.data.databases import fault, labels, random_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five images of 12x10, `0.png` to `4.png`, in `images/`; the working directory is elsewhere."""
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for i, image in enumerate(random_images(5, (3, 12, 10))):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image.transpose(1, 2, 0))
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def layer(folder, text: str, transform=None, **settings) -> ImageData:
    path = folder / "list.txt"
    path.write_text(text)
    return ImageData(source=str(path), transform=transform or Transform(), **{"batch_size": 2, **settings})


LIST = "".join(f"images/{i}.png {10 * i}\n" for i in range(5))


def one_batch(made: ImageData, phase="TEST", **settings):
    source = open_source(made, phase, **settings)
    try:
        return source.next_batch().tops
    finally:
        source.close()


def test_images_and_labels_in_the_order_of_the_list(folder):
    data, label = one_batch(layer(folder, LIST, batch_size=7))
    np.testing.assert_array_equal(data, random_images(5, (3, 12, 10))[[0, 1, 2, 3, 4, 0, 1]])
    assert label.tolist() == [0, 10, 20, 30, 40, 0, 10]


def test_resized_and_gray_as_in_opencv(folder):
    made = layer(folder, LIST, new_height=8, new_width=15, is_color=False)
    source = open_source(made, "TEST")
    assert source.record_shapes == ((1, 8, 15), ())
    first = source.next_batch().tops[0][0, 0]
    source.close()
    gray = cv2.imread(str(folder / "images" / "0.png"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(first, cv2.resize(gray, (15, 8)))


def test_transformed(folder):
    made = layer(folder, LIST, Transform(crop_size=5, mean_value=(9.0,), scale=2.0))
    feed = DeviceFeed(open_source(made, "TEST"))
    want = (random_images(5, (3, 12, 10))[:2, :, 3:8, 2:7].astype(np.float32) - 9) * 2
    np.testing.assert_array_equal(feed.next()[0].numpy(), want)
    feed.source.close()


def test_paths_with_spaces_and_a_root_folder(folder):
    (folder / "images" / "0.png").rename(folder / "images" / "a b 7.png")
    text = "a b 7.png 3\n\n1.png   4\n"
    assert one_batch(layer(folder, text, root_folder=f"{folder}/images/"))[1].tolist() == [3, 4]


def test_several_labels_and_fractions(folder):
    text = "images/0.png 1 2.5 -3\nimages/1.png 4 5 1e2\n"
    source = open_source(layer(folder, text), "TEST")
    assert source.record_shapes == ((3, 12, 10), (3,))
    assert source.next_batch().tops[1].tolist() == [[1, 2.5, -3], [4, 5, 100]]
    source.close()


def test_each_epoch_has_a_new_order(folder):
    source = open_source(layer(folder, LIST, batch_size=5, shuffle=True), "TRAIN", seed=3)
    epochs = [labels(source, 1) for _ in range(4)]
    source.close()
    assert all(sorted(epoch) == [0, 10, 20, 30, 40] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_rand_skip(folder):
    starts = {one_batch(layer(folder, LIST, rand_skip=3), seed=seed)[1][0] for seed in range(12)}
    assert starts == {0, 10, 20}


def test_every_bad_line_is_reported_with_its_number(folder):
    text = "images/0.png 0\nimages/1.png\n\nimages/2.png two\nimages/3.png 3\n"
    with pytest.raises(NetcError) as caught:
        open_source(layer(folder, text), "TEST")
    assert [(d.code, d.line) for d in caught.value.diagnostics] == [("E506", 2), ("E506", 4)]
    assert "images/2.png two" in caught.value.render()
    with fault("E506", "2 labels"):
        open_source(layer(folder, "images/0.png 1 2\nimages/1.png 1\n"), "TEST")


def test_missing_lists_and_images(folder):
    with fault("E502", "is empty"):
        open_source(layer(folder, "\n"), "TEST")
    missing = ImageData(source="nowhere.txt", batch_size=1)
    with fault("E501", "`nowhere.txt` cannot be read"):
        open_source(missing, "TEST")
    with fault("E501", "is a binary file, not a list"):
        open_source(layer(folder, "\x89PNG\0\n" * 9), "TEST")
    made = layer(folder, "images/0.png 0\nimages/9.png 1\n")
    with fault("E504", "`images/9.png`", "no such file"):
        one_batch(made)
    (folder / "images" / "1.png").write_bytes(b"nothing")
    with fault("E504", "`images/1.png`", "cannot decode"):
        one_batch(layer(folder, LIST))


def test_found_by_the_resolver(folder):
    requested = []

    def resolve(name):
        requested.append(name)
        return folder / "images" / "2.png" if name == "gone/2.png" else folder / name

    data, _ = one_batch(layer(folder, "gone/2.png 1\n", batch_size=1), resolve_path=resolve)
    np.testing.assert_array_equal(data[0], random_images(5, (3, 12, 10))[2])
    assert "gone/2.png" in requested


def test_several_labels_where_the_first_files_are_missing(folder):
    gone = "".join(f"images/gone{i}.png 7 8\n" for i in range(150))
    made = layer(folder, f"{gone}images/1.png 4 5\n", batch_size=1)
    with fault("E504", "`images/gone0.png`"):
        open_source(made, "TEST")
    made = layer(folder, "images/gone.png 7 8\nimages/1.png 4 5\n", batch_size=1)
    assert one_batch(made, skip_bad=True)[1].tolist() == [[4, 5]]


def test_a_list_of_missing_files_is_not_searched_to_its_end(folder):
    requested = []

    def resolve(name):
        requested.append(name)
        return folder / name

    with fault("E504", "`gone0.png`"):
        open_source(layer(folder, "".join(f"gone{i}.png 1\n" for i in range(3000))), "TEST", resolve_path=resolve)
    assert 100 < len(requested) < 500


def test_a_byte_order_mark_is_not_part_of_the_first_path(folder):
    assert one_batch(layer(folder, f"\ufeff{LIST}"))[1].tolist() == [0, 10]


@pytest.mark.parametrize("label", ["nan", "-inf", "1_0", "\u0663", "0x1p3", "1e39", "1e999"])
def test_labels_that_are_not_decimal_numbers(folder, label):
    with fault("E506", "line 2 is not a path followed by a label"):
        open_source(layer(folder, f"images/0.png 1\nimages/1.png {label}\n"), "TEST")


def test_decimal_numbers(folder):
    text = "".join(f"images/{i}.png {label}\n" for i, label in enumerate(["+1", "-.5", "2.", "1e1", "0.25E-1"]))
    found = one_batch(layer(folder, text, batch_size=5))[1]
    np.testing.assert_array_equal(found, np.array([1, -0.5, 2, 10, 0.025], np.float32))
