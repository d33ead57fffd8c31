import cv2
import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 4, 5), (7,)])
def test_blobproto_there_and_back(shape):
    array, diff = RANDOM.normal(size=shape).astype(np.float32), RANDOM.normal(size=shape).astype(np.float32)
    blob = caffe.io.array_to_blobproto(array, diff)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), diff)


def test_a_legacy_blobproto_has_four_extents():
    from netc.pycaffe.proto import caffe_pb2

    blob = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), np.arange(6).reshape(1, 2, 1, 3))


def test_a_diff_of_another_shape_is_an_error():
    with pytest.raises(NetcError, match=r"expected a diff of shape \[2\], got \[3\]"):
        caffe.io.array_to_blobproto(np.zeros(2), np.zeros(3))


def test_several_arrays_in_bytes():
    arrays = [np.ones((2, 3)), np.arange(4)]
    data = caffe.io.arraylist_to_blobprotovector_str(arrays)
    for one, two in zip(arrays, caffe.io.blobprotovector_str_to_arraylist(data)):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_datum_there_and_back(dtype):
    array = RANDOM.integers(0, 255, (3, 4, 5)).astype(dtype)
    datum = caffe.io.array_to_datum(array, 7)
    assert (datum.label, datum.channels, datum.height, datum.width) == (7, 3, 4, 5)
    assert bool(datum.data) == (dtype == np.uint8)
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), array)


def test_a_datum_has_three_axes():
    with pytest.raises(NetcError, match="3 axes"):
        caffe.io.array_to_datum(np.zeros((3, 4)))


def test_images_are_rgb_from_0_to_1(tmp_path):
    bgra = RANDOM.integers(0, 255, (6, 5, 4), np.uint8)
    for name, image in (("color", bgra[..., :3]), ("alpha", bgra), ("gray", bgra[..., 0])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    color = caffe.io.load_image(tmp_path / "color.png")
    np.testing.assert_allclose(color, bgra[..., 2::-1] / 255.0, rtol=1e-6)
    assert color.dtype == np.float32
    np.testing.assert_array_equal(caffe.io.load_image(tmp_path / "alpha.png"), color)
    gray = caffe.io.load_image(tmp_path / "gray.png", color=False)
    np.testing.assert_allclose(gray, bgra[..., :1] / 255.0, rtol=1e-6)
    assert caffe.io.load_image(tmp_path / "gray.png").shape == (6, 5, 3)
    luminance = color @ [0.2125, 0.7154, 0.0721]
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "color.png", False)[..., 0], luminance, rtol=1e-5)


def test_images_of_sixteen_bits(tmp_path):
    image = RANDOM.integers(0, 65535, (6, 5), np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), image)
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "deep.png", False)[..., 0], image / 65535, rtol=1e-6)


def test_a_file_that_is_not_an_image_is_an_error(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(NetcError, match=r"cannot read `.*` as an image") as caught:
        caffe.io.load_image(tmp_path / "text.png")
    assert isinstance(caught.value, OSError)
    with pytest.raises(FileNotFoundError, match=r"cannot read `absent.png`: no such file"):
        caffe.io.load_image("absent.png")


def interpolated(f, x, order):
    """The value at `x` of a function of integers, by the formulas of scikit-image's Cython code."""
    if order == 0:
        return f(int(x + 0.5) if x > 0 else int(x - 0.5))
    if order == 1:
        low = int(np.floor(x))
        return (1 - (x - low)) * f(low) + (x - low) * f(int(np.ceil(x)))
    if order == 2:
        low = (int(x + 0.5) if x > 0 else int(x - 0.5)) - 1
        t, (a, b, c) = x - low, (f(low + k) for k in range(3))
        return t * c * (t - 1) / 2 - t * b * (t - 2) + a * (t - 1) * (t - 2) / 2
    low = int(np.floor(x))
    t, (a, b, c, d) = x - low, (f(low + k) for k in (-1, 0, 1, 2))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def resized(image, size, order):
    """Pixel by pixel, with the minimum outside the image, clipped to the image's range."""
    low, high = float(image.min()), float(image.max())
    scaled, result = (image.astype(float) - low) / (high - low), np.empty((*size, image.shape[2]))
    rows, columns = image.shape[:2]

    def pixel(y, x, k):
        return scaled[y, x, k] if 0 <= y < rows and 0 <= x < columns else 0.0

    def value(y, x, k):
        at_y, at_x = (y + 0.5) * rows / size[0] - 0.5, (x + 0.5) * columns / size[1] - 0.5
        return interpolated(lambda row: interpolated(lambda c: pixel(row, c, k), at_x, order), at_y, order)

    for place in np.ndindex(*result.shape):
        result[place] = np.clip(value(*place), 0, 1) * (high - low) + low
    return result


@pytest.mark.parametrize("size", [(12, 18), (7, 5), (3, 4), (6, 8), (1, 1)])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_and_three_channels_are_resized_as_by_scikit_image(channels, order, size):
    image = RANDOM.normal(size=(6, 8, channels)).astype(np.float32)
    found = caffe.io.resize_image(image, size, order)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, resized(image, size, order), rtol=1e-5, atol=1e-5)


def test_enlarging_darkens_the_border():
    image = np.array([[0.5, 1.0], [1.0, 1.0]], np.float32)[:, :, np.newaxis]
    corner = caffe.io.resize_image(image, (4, 4))[3, 3, 0]
    assert corner == pytest.approx(0.5 + 0.5 * 0.75**2)


@pytest.mark.parametrize("size", [(12, 18), (7, 5), (3, 4), (6, 8), (1, 1)])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("channels", [2, 4, 6])
def test_images_of_other_channels_are_resized_as_by_scipy(channels, order, size):
    from scipy.ndimage import zoom

    image = RANDOM.normal(size=(6, 8, channels)).astype(np.float32)
    found = caffe.io.resize_image(image, size, order)
    expected = zoom(image.astype(float), (size[0] / 6, size[1] / 8, 1), order=order)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_constant_and_integer_images():
    np.testing.assert_array_equal(caffe.io.resize_image(np.full((3, 4, 3), 7), (5, 6)), np.full((5, 6, 3), 7))
    image = RANDOM.integers(0, 255, (6, 8, 3), np.uint8)
    expected = caffe.io.resize_image(image.astype(np.float32), (9, 5))
    np.testing.assert_allclose(caffe.io.resize_image(image, (9, 5)), expected, rtol=1e-5, atol=1e-4)


def test_an_image_without_channels_and_unknown_orders():
    image = RANDOM.normal(size=(6, 8)).astype(np.float32)
    np.testing.assert_array_equal(
        caffe.io.resize_image(image, (4, 6)), caffe.io.resize_image(image[..., None], (4, 6))[..., 0]
    )
    with pytest.raises(NetcError, match="order 4"):
        caffe.io.resize_image(image, (4, 6), 4)


def test_splines_without_scipy_name_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    image = RANDOM.normal(size=(6, 8, 5))
    assert caffe.io.resize_image(image, (3, 3), 1).shape == (3, 3, 5)
    with pytest.raises(NetcError, match="resizing an image of 5 channels by splines needs the package") as caught:
        caffe.io.resize_image(image, (3, 3), 3)
    assert "netc[resize]" in caught.value.render()


def test_ten_crops():
    image = RANDOM.normal(size=(7, 9, 2)).astype(np.float32)
    crops = caffe.io.oversample([image, -image], (3, 5))
    assert crops.shape == (20, 3, 5, 2)
    np.testing.assert_array_equal(crops[0], image[:3, :5])
    np.testing.assert_array_equal(crops[3], image[4:, 4:])
    np.testing.assert_array_equal(crops[4], image[2:5, 2:7])
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], -crops[:10])


# ---------------------------------------------------------------------- Transformer


def transformer():
    made = caffe.io.Transformer({"data": (10, 3, 6, 5)})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 0, 1))
    made.set_raw_scale("data", 255)
    made.set_mean("data", np.array([10.0, 20.0, 30.0]))
    made.set_input_scale("data", 0.5)
    return made


def test_preprocessing_in_caffes_order():
    image = RANDOM.random((6, 5, 3)).astype(np.float32)
    kept = image.copy()
    got = transformer().preprocess("data", image)
    expected = (image[..., [2, 0, 1]].transpose(2, 0, 1) * 255 - np.array([10, 20, 30])[:, None, None]) * 0.5
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(image, kept)


def test_images_of_another_size_are_resized():
    image = RANDOM.random((12, 10, 3)).astype(np.float32)
    plain = caffe.io.Transformer({"data": (10, 3, 6, 5)})
    np.testing.assert_array_equal(plain.preprocess("data", image), caffe.io.resize_image(image, (6, 5)))


def test_deprocessing_is_the_inverse():
    image = RANDOM.random((6, 5, 3)).astype(np.float32)
    made = transformer()
    np.testing.assert_allclose(made.deprocess("data", made.preprocess("data", image)), image, atol=1e-5)


def test_a_mean_image_is_resized_to_the_input():
    made = caffe.io.Transformer({"data": (10, 3, 6, 5)})
    mean = np.ones((3, 12, 10)) * np.array([1, 2, 3])[:, None, None]
    made.set_mean("data", mean)
    np.testing.assert_allclose(made.mean["data"], mean[:, :6, :5])


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("set_transpose", (1, 0), "expected 3 axes for `data`, got 2"),
        ("set_channel_swap", (1, 0), "expected 3 channels for `data`, got 2"),
        ("set_mean", np.zeros(4), r"expected one mean value per channel of `data` \(3\), got 4"),
        ("set_mean", np.zeros((2, 6, 5)), r"expected a mean of shape \[3,6,5\] for `data`, got \[2,6,5\]"),
    ],
)
def test_settings_that_do_not_match_the_input_are_rejected(setting, value, message):
    with pytest.raises(NetcError, match=message):
        getattr(transformer(), setting)("data", value)


def test_only_inputs_are_transformed():
    with pytest.raises(NetcError, match="unknown input `label`: the inputs are `data`"):
        transformer().set_raw_scale("label", 2)
