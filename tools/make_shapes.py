#!/usr/bin/env python3
"""Create a small set of detection and segmentation data in the layout of PASCAL VOC: shapes drawn on photographs.

usage: make_shapes.py FOLDER [--train 600] [--test 150] [--seed 0]

    FOLDER/JPEGImages/000001.jpg          images of 120 to 200 pixels a side
    FOLDER/Annotations/000001.xml         one to four objects: disk, square or triangle
    FOLDER/SegmentationClass/000001.png   the class of each pixel as a palette index; 255 along the outlines
    FOLDER/ImageSets/Main/{train,test}.txt and FOLDER/ImageSets/Segmentation/{train,test}.txt
    FOLDER/{train,test}_pairs.txt         the paths of an image and its class map per line, for ImageSegData
    FOLDER/labelmap.prototxt              the classes and their numbers, as SSD's labelmap_voc.prototxt
    FOLDER/colors.txt                     the palette, a line per class

The photographs are crops of scikit-learn's two sample images: training images are from their left parts, test images
from the rest. Without scikit-learn the backgrounds are textures. The output depends only on the seed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
CLASSES = ("disk", "square", "triangle")
SMALLEST, LARGEST = 120, 200
"""Pixels of an image's side."""
VOID = 255
TRAIN_PART = 0.7
"""The part of each photograph's width that training images are from."""


@dataclass(frozen=True)
class Shape:
    """An object of an image."""

    label: int
    mask: npt.NDArray[np.bool_]
    box: tuple[int, int, int, int]
    """Left, top, right, bottom; the right column and the bottom row are outside."""


def photographs() -> list[Image]:
    """Blue, green, red."""
    try:
        from sklearn.datasets import load_sample_images

        return [np.ascontiguousarray(image[:, :, ::-1]) for image in load_sample_images().images]
    except ImportError:  # scikit-learn, or Pillow, which it decodes with
        return [texture(np.random.default_rng(i)) for i in range(4)]


def texture(random: np.random.Generator) -> Image:
    """Random colors at several scales, summed."""
    total = np.zeros((420, 640, 3), np.float32)
    for side in (4, 12, 40, 120):
        noise = random.normal(0, 40, (side, side, 3)).astype(np.float32)
        total += cv2.resize(noise, (640, 420), interpolation=cv2.INTER_CUBIC)
    return np.clip(total + 128, 0, 255).astype(np.uint8)


def background(photo: Image, train: bool, random: np.random.Generator) -> Image:
    """A random part of a photograph at a random scale, of the size of an image."""
    height, width = random.integers(SMALLEST, LARGEST + 1, 2).tolist()
    edge = int(photo.shape[1] * TRAIN_PART)
    part = photo[:, :edge] if train else photo[:, edge:]
    scale = random.uniform(0.5, min(1.5, part.shape[0] / height, part.shape[1] / width))
    h, w = int(height * scale), int(width * scale)
    y, x = int(random.integers(part.shape[0] - h + 1)), int(random.integers(part.shape[1] - w + 1))
    return np.asarray(cv2.resize(part[y : y + h, x : x + w], (width, height)), np.uint8)


def outline(label: int, size: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """The corners of a shape around the origin; `size` is about its extent."""
    if CLASSES[label - 1] == "disk":
        angles, radius = np.arange(48) * (2 * np.pi / 48), size / 2
    else:
        corners = 4 if CLASSES[label - 1] == "square" else 3
        angles = np.arange(corners) * (2 * np.pi / corners) + random.uniform(0, 2 * np.pi)
        radius = size / 2 * (1.1 if corners == 4 else 1.2)
    stretch = random.uniform(0.8, 1.25)
    return np.stack([np.cos(angles) * radius * stretch, np.sin(angles) * radius / stretch], 1)


def draw_shape(size: tuple[int, int], random: np.random.Generator) -> Shape | None:
    """A shape at a random place; None if it is not wholly inside."""
    height, width = size
    label = int(random.integers(len(CLASSES))) + 1
    corners = outline(label, random.uniform(0.2, 0.55) * min(size), random)
    corners += (random.uniform(0, width), random.uniform(0, height))
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    (left, top), (right, bottom) = np.rint(corners.min(0)), np.rint(corners.max(0)) + 1
    if left < 0 or top < 0 or right > width or bottom > height:
        return None
    return Shape(label, canvas.astype(np.bool_), (int(left), int(top), int(right), int(bottom)))


def overlap(one: Shape, other: Shape) -> float:
    """The intersection of two boxes in relation to the smaller one."""
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one.box, other.box)]
    return max(0, right - left) * max(0, bottom - top) / min(areas)


def shapes_of(size: tuple[int, int], random: np.random.Generator) -> list[Shape]:
    """One to four shapes that hardly overlap."""
    wanted, found = int(random.integers(1, 5)), list[Shape]()
    for _ in range(200):
        shape = draw_shape(size, random)
        if shape is not None and all(overlap(shape, other) < 0.1 for other in found):
            found.append(shape)
        if len(found) == wanted:
            break
    return found or shapes_of(size, random)


def painted(image: Image, shapes: list[Shape], random: np.random.Generator) -> Image:
    """The shapes in random colors that differ from what they cover, each with a gradient and noise."""
    result = image.astype(np.float32)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    for shape in shapes:
        beneath = image[shape.mask].mean(0)
        color = random.uniform(0, 255, 3)
        while np.abs(color - beneath).max() < 80:
            color = random.uniform(0, 255, 3)
        slope = random.uniform(-0.4, 0.4, 2)
        shade = (rows - rows[shape.mask].mean()) * slope[0] + (columns - columns[shape.mask].mean()) * slope[1]
        textured = color + shade[:, :, None] + random.normal(0, 6, image.shape)
        result[shape.mask] = textured[shape.mask]
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def class_map(size: tuple[int, int], shapes: list[Shape]) -> Image:
    """The class of each pixel, VOID along the outlines."""
    result = np.zeros(size, np.uint8)
    for shape in shapes:
        result[shape.mask] = shape.label
        mask = shape.mask.astype(np.uint8)
        result[cv2.dilate(mask, np.ones((3, 3), np.uint8)) != cv2.erode(mask, np.ones((3, 3), np.uint8))] = VOID
    return result


def palette() -> npt.NDArray[np.uint8]:
    """PASCAL VOC's colors (256, 3), red first: the bits of an index, spread over the channels."""
    indices = np.arange(256)
    channels = [sum(((indices >> (3 * bit + c)) & 1) << (7 - bit) for bit in range(3)) for c in range(3)]
    return np.stack([np.asarray(channel) for channel in channels], 1).astype(np.uint8)


def write_indexed(path: Path, indices: Image) -> None:
    """A PNG with a palette, which keeps the indices as pixels; OpenCV writes only colors."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"PLTE", palette().tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def annotation(name: str, size: tuple[int, int], shapes: list[Shape]) -> str:
    """PASCAL VOC's XML; its coordinates count from 1, and the last column and row are inside."""
    objects = []
    for shape in shapes:
        left, top, right, bottom = shape.box
        objects.append(
            f"  <object>\n    <name>{CLASSES[shape.label - 1]}</name>\n    <pose>Unspecified</pose>\n"
            "    <truncated>0</truncated>\n    <difficult>0</difficult>\n"
            f"    <bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
            f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>\n"
            "  </object>\n"
        )
    return (
        f"<annotation>\n  <folder>shapes</folder>\n  <filename>{name}.jpg</filename>\n"
        f"  <size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>\n"
        f"  <segmented>1</segmented>\n{''.join(objects)}</annotation>\n"
    )


def label_map() -> str:
    """SSD's label map."""
    names = [("none_of_the_above", "background"), *((name, name) for name in CLASSES)]
    return "".join(
        f'item {{\n  name: "{name}"\n  label: {label}\n  display_name: "{shown}"\n}}\n'
        for label, (name, shown) in enumerate(names)
    )


def images_of(count: int, train: bool, seed: int) -> Iterator[tuple[Image, list[Shape]]]:
    """Images with their shapes."""
    photos = photographs()
    for number in range(count):
        random = np.random.default_rng((seed, int(train), number))
        below = background(photos[int(random.integers(len(photos)))], train, random)
        shapes = shapes_of((below.shape[0], below.shape[1]), random)
        yield painted(below, shapes, random), shapes


def write_image(folder: Path, name: str, image: Image, shapes: list[Shape]) -> None:
    """The three files of an image."""
    size = (image.shape[0], image.shape[1])
    cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / "Annotations" / f"{name}.xml").write_text(annotation(name, size, shapes))
    write_indexed(folder / "SegmentationClass" / f"{name}.png", class_map(size, shapes))


def main(folder: Path, train: int = 600, test: int = 150, seed: int = 0) -> None:
    sets = [folder / "ImageSets" / name for name in ("Main", "Segmentation")]
    for part in (*(folder / name for name in ("JPEGImages", "Annotations", "SegmentationClass")), *sets):
        part.mkdir(parents=True, exist_ok=True)
    number = 0
    for split, count in (("train", train), ("test", test)):
        names = [f"{number + i + 1:06d}" for i in range(count)]
        for name, (image, shapes) in zip(names, images_of(count, split == "train", seed)):
            write_image(folder, name, image, shapes)
        for part in sets:
            (part / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        pairs = (f"JPEGImages/{name}.jpg SegmentationClass/{name}.png\n" for name in names)
        (folder / f"{split}_pairs.txt").write_text("".join(pairs))
        number += count
    (folder / "labelmap.prototxt").write_text(label_map())
    colors = palette()[: len(CLASSES) + 1].tolist()
    (folder / "colors.txt").write_text("".join(f"{r} {g} {b}\n" for r, g, b in colors))
    print(f"{folder}: {train} training images, {test} test images")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Create shapes on photographs in the layout of PASCAL VOC.")
    parser.add_argument("folder", type=Path)
    for name, default in (("--train", 600), ("--test", 150), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    main(**vars(parser.parse_args()))
