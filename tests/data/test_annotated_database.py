"""Databases of images with boxes from PASCAL VOC's XML, COCO's JSON and lists, and label maps."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from netc.cli import main
from netc.data.sources.annotated_image import AnnotatedObject
from netc.data.sources.coco_json import read_coco
from netc.data.sources.opening import open_records
from netc.data.sources.voc_xml import parse_voc, read_voc
from netc.data.tools.annotated_database import AnnotatedSettings, convert_annotated
from netc.data.tools.annotation_sources import data_set, read_lines
from netc.data.tools.label_map import LabelMap, LabelMapEntry, label_map_of, read_label_map
from netc.diagnostics import NetcError
from tests.data.databases import fault

REFERENCE = Path(__file__).parent.parent / "reference" / "forks" / "data" / "ssd"
CLASSES = label_map_of(["cat", "dog"])


def records_of(path):
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]


def boxes_of(path):
    with contextlib.closing(open_records(path)) as records, records.reading() as read:
        return [read(i).label.boxes.tolist() for i in range(len(records))]


def xml(*objects: tuple, size=(30, 40), head="") -> str:
    """VOC's annotation of objects: name, xmin, ymin, xmax, ymax."""
    height, width = size
    text = f"<annotation>{head}<size><width>{width}</width><height>{height}</height></size>\n"
    for name, xmin, ymin, xmax, ymax, *rest in objects:
        text += (
            f"<object><name>{name}</name>{''.join(rest)}<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
            f"<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>\n"
        )
    return text + "</annotation>"


def picture(path: Path, height=30, width=40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3))


def voc(folder: Path, **annotations: str) -> Path:
    (folder / "Annotations").mkdir(parents=True)
    for name, text in annotations.items():
        picture(folder / "JPEGImages" / f"{name}.png")
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    return folder


def test_a_database_of_the_fork_byte_for_byte(tmp_path):
    """The records that convert_annoset wrote, from their images and boxes."""
    expected = records_of(REFERENCE / "lmdb_encoded")
    lines = []
    with contextlib.closing(open_records(REFERENCE / "lmdb_encoded")) as records, records.reading() as read:
        for index, (key, value) in enumerate(expected):
            name = key.decode().partition("_")[2]
            record, start = read(index), value.index(b"\x89PNG")
            picture(tmp_path / name)
            (tmp_path / name).write_bytes(value[start : value.index(b"IEND") + 8])
            height, width = record.image.shape[1:]
            label_map = read_label_map(REFERENCE / "labelmap.prototxt")
            objects = [
                (
                    label_map.shown(int(row[0])),
                    *(round(side * extent) for side, extent in zip(row[2:6], (width, height) * 2)),
                    f"<difficult>{int(row[6])}</difficult>",
                )
                for row in record.label.boxes.tolist()
            ]
            (tmp_path / f"{index}.xml").write_text(xml(*objects, size=(height, width)))
            lines.append(f"{name} {index}.xml\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    done = convert_annotated(
        tmp_path / "list.txt",
        f"{tmp_path}",
        tmp_path / "out",
        AnnotatedSettings(encode_type="png"),
        label_map=read_label_map(REFERENCE / "labelmap.prototxt"),
    )
    assert done.written == 6
    assert done.boxes == {1: 4, 2: 4, 3: 3}
    assert not done.warnings
    assert records_of(tmp_path / "out") == expected
    assert (tmp_path / "out_name_size.txt").read_text().split("\n")[1] == "im1 50 33"


def test_a_voc_folder(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"
    one = xml(("cat", 4, 3, 20, 15), ("dog", 8, 6, 40, 30, part, "<difficult>1</difficult>"), ("cat", 1, 1, 2, 2))
    folder = voc(tmp_path / "voc", a=one, b=xml(), c=xml(("cat", 0, 0, 40, 30)))
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "dog_val.txt").write_text("b -1\na  1\n\n")
    done = convert_annotated(folder, None, tmp_path / "db", split="dog_val")
    assert (done.written, done.boxes) == (2, {1: 2, 2: 1})
    assert boxes_of(tmp_path / "db")[0] == []
    found = np.array(boxes_of(tmp_path / "db")[1])
    expected = [[1, 0, 0.1, 0.1, 0.5, 0.5, 0], [1, 1, 0.025, 1 / 30, 0.05, 2 / 30, 0], [2, 0, 0.2, 0.2, 1, 1, 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (tmp_path / "db_name_size.txt").read_text() == "b 30 40\na 30 40\n"
    convert_annotated(folder, None, tmp_path / "all", shuffle=True, seed=4)
    assert len(boxes_of(tmp_path / "all")) == 3


def test_coco(tmp_path):
    for name in ("x.png", "y.png"):
        picture(tmp_path / "images" / name)
    content = {
        "images": [
            {"id": 7, "file_name": "x.png", "height": 30, "width": 40},
            {"id": 5, "file_name": "y.png", "height": 30, "width": 40},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
        "annotations": [
            {"image_id": 5, "category_id": 18, "bbox": [4, 3, 8.5, 9], "iscrowd": 1},
            {"image_id": 5, "category_id": 17, "bbox": [0, 0, 40, 30]},
        ],
    }
    (tmp_path / "all.json").write_text(json.dumps(content))
    done = convert_annotated(tmp_path / "all.json", f"{tmp_path}/images", tmp_path / "db")
    assert [entry.name for entry in done.label_map.entries[1:]] == ["cat", "dog"]
    first, second = boxes_of(tmp_path / "db")
    assert not first
    np.testing.assert_allclose(second, [[2, 0, 0.1, 0.1, 0.3125, 0.4, 1], [1, 0, 0, 0, 1, 1, 0]], rtol=1e-6)
    assert (tmp_path / "db_name_size.txt").read_text() == "7 30 40\n5 30 40\n"
    numbered = LabelMap((LabelMapEntry("18", 4, "dog"), LabelMapEntry("17", 9, "cat")))
    done = convert_annotated(tmp_path / "all.json", f"{tmp_path}/images", tmp_path / "db2", label_map=numbered)
    assert done.boxes == {4: 1, 9: 1}
    one = {"image": {"height": 30, "width": 40}, "annotation": content["annotations"]}
    (tmp_path / "y.json").write_text(json.dumps(one))
    (tmp_path / "list").write_text("images/y.png y.json\n")
    done = convert_annotated(tmp_path / "list", str(tmp_path), tmp_path / "db3", label_map=numbered)
    assert done.boxes == {4: 1, 9: 1}


def test_lines_of_labels_and_boxes(tmp_path):
    (tmp_path / "a.txt").write_text("3 4 3 20 15\n\n1 0 0 40 30\n")
    assert read_lines(tmp_path / "a.txt").objects == (
        AnnotatedObject("3", (4, 3, 20, 15), line=1, label=3),
        AnnotatedObject("1", (0, 0, 40, 30), line=3, label=1),
    )
    picture(tmp_path / "a b.png")
    (tmp_path / "list").write_text("a b.png a.txt\n")
    done = convert_annotated(tmp_path / "list", str(tmp_path), tmp_path / "db", label_map=CLASSES)
    assert done.boxes == {3: 1, 1: 1}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (xml() + "<more/>", 2, "the file is not XML: junk after document element"),
        ("<annotation><a></annotation>", 1, "the file is not XML: mismatched tag"),
        ("", 1, "the file is not XML: no element found"),
        ("<annotations/>", 1, "expected an `annotation` element, found `annotations`"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]>\n<annotation/>', 1, "document type declarations are not"),
        ("<annotation>\n" + "<a>" * 200, 2, "elements are nested deeper than 100"),
        ("<annotation>\n<object><bndbox/></object></annotation>", 2, "the object has no `name`"),
        ("<annotation>\n\n<object><name>a</name></object></annotation>", 3, "`xmin` of the object's `bndbox` is miss"),
        (xml(("cat", "1e999", 1, 2, 2)), 2, "`xmin` of the object's `bndbox` `1e999` is not a number"),
        (xml(("cat", 1, "x", 2, 2)), 2, "`ymin` of the object's `bndbox` `x` is not a number"),
    ],
)
def test_bad_xml(text, line, words):
    with fault("E513", words) as caught:
        parse_voc(text.encode(), "a.xml")
    assert caught.value.diagnostics[0].line == line


def test_entities_that_expand_are_not_read():
    layers = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    bomb = f'<!DOCTYPE annotation [<!ENTITY e0 "lol">{layers}]><annotation>&e12;</annotation>'
    with fault("E513", "document type declarations are not accepted"):
        parse_voc(bomb.encode(), "a.xml")


def test_other_encodings_of_xml():
    text = '<?xml version="1.0" encoding="{}"?>' + xml(("kätzchen", 1, 1, 2, 2), size=(0, 5))
    for encoding in ("iso-8859-1", "utf-8", "utf-16"):
        found = parse_voc(text.format(encoding).encode(encoding), "a.xml")
        assert found.objects[0].name == "kätzchen"
        assert found.size is None


COCO = {"images": [{"id": 1, "file_name": "a"}], "annotations": [], "categories": []}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": None}, "expected a list `images`"),
        ({"images": [{"file_name": "a"}]}, "`id` is missing"),
        ({"annotations": [{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}]}, "no image with the `id` 2"),
        ({"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}, "`category_id` is missing"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}, "`bbox` is not a list of x, y"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, True, "4"]}]}, "`bbox` is not a list"),
        ({"annotations": [7]}, "`image_id` is missing"),
    ],
)
def test_bad_coco(tmp_path, changes, words):
    (tmp_path / "a.json").write_text(json.dumps({**COCO, **changes}))
    with fault("E513", words):
        read_coco(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [("{\n\n]", 3, "the file is not JSON"), ("[]", 1, "expected an object"), ("[" * 100_000, 1, "nested too deeply")],
)
def test_bad_json(tmp_path, text, line, words):
    (tmp_path / "a.json").write_text(text)
    with fault("E513", words) as caught:
        read_coco(tmp_path / "a.json")
    assert caught.value.diagnostics[0].line == line


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "E513", "the label map has no `item`"),
        ('item { label: 1 }\nitem { name: "a" }', "E513", "the item has no `name`"),
        ('item { name: "a" label: 1 }\nitem { name: "a" label: 2 }', "E513", "name `a` occurs twice"),
        ('item { name: "a" label: 1 }\nitem { name: "b" label: 1 }', "E513", "label `1` occurs twice"),
        ("item {", "E003", ""),
        ('item { name: "a" label: "x" }', "E006", ""),
    ],
)
def test_bad_label_maps(tmp_path, text, code, words):
    (tmp_path / "map").write_text(text)
    with fault(code, words):
        read_label_map(tmp_path / "map")


def test_label_maps(tmp_path):
    (tmp_path / "map").write_text('item { name: "17" label: 4 display_name: "cat" } item { name: "dog" label: 9 }')
    found = read_label_map(tmp_path / "map")
    assert [found.label(name) for name in ("17", "cat", "dog", "4")] == [4, 4, 9, None]
    assert [found.shown(label) for label in (4, 9, 5)] == ["cat", "dog", "5"]
    (tmp_path / "again").write_text(found.text())
    assert read_label_map(tmp_path / "again") == found


def test_all_bad_annotations_are_reported_or_skipped(tmp_path):
    folder = voc(
        tmp_path / "voc", a=xml(("cow", 1, 1, 2, 2), ("dgog", 1, 1, 2, 2)), b=xml(("cat", 1, 1, 2, 2)), c="<a>"
    )
    with fault("E513", "expected an `annotation` element"):
        convert_annotated(folder, None, tmp_path / "db", label_map=CLASSES)
    (folder / "Annotations" / "c.xml").write_text(xml(("cats", 1, 1, 2, 2)))
    with pytest.raises(NetcError) as caught:
        convert_annotated(folder, None, tmp_path / "db", label_map=CLASSES)
    assert [(d.line, d.message, d.help) for d in caught.value.diagnostics] == [
        (2, "the label map has no class `cow`", None),
        (3, "the label map has no class `dgog`", "did you mean `dog`?"),
        (2, "the label map has no class `cats`", "did you mean `cat`?"),
    ]
    assert not (tmp_path / "db").exists()
    done = convert_annotated(folder, None, tmp_path / "db", label_map=CLASSES, skip_bad=True)
    assert (done.written, len(done.skipped)) == (1, 2)
    assert (tmp_path / "db_name_size.txt").read_text() == "b 30 40\n"


def test_unusual_boxes_are_kept_with_a_warning(tmp_path):
    odd = xml(("cat", 1, 1, 50, 2), ("cat", 5, 5, 2, 9), ("cat", -1, 1, 2, 2), size=(30, 41))
    done = convert_annotated(voc(tmp_path / "voc", a=odd), None, tmp_path / "db")
    assert [d.message for d in done.warnings] == [
        "image `JPEGImages/a.png` is 30x40, but its annotation says 30x41",
        "the box 1, 1, 50, 2 of `cat` is not inside its image of 30x41",
        "the box 5, 5, 2, 9 of `cat` is empty or inverted",
    ]
    assert done.warnings[1].notes == ("and 1 other",)
    assert boxes_of(tmp_path / "db")[0][0][4] == pytest.approx(50 / 41)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (AnnotatedSettings(), (30, 40)),
        (AnnotatedSettings(height=10, width=20), (10, 20)),
        (AnnotatedSettings(min_dim=60), (60, 80)),
        (AnnotatedSettings(min_dim=20), (30, 40)),
        (AnnotatedSettings(max_dim=20), (15, 20)),
        (AnnotatedSettings(min_dim=60, max_dim=70), (52, 70)),
    ],
)
def test_sizes(tmp_path, settings, size):
    folder = voc(tmp_path / "voc", a=xml(("cat", 4, 3, 20, 15)))
    convert_annotated(folder, None, tmp_path / "db", settings)
    with contextlib.closing(open_records(tmp_path / "db")) as records, records.reading() as read:
        assert read(0).image.shape == (3, *size)
    assert boxes_of(tmp_path / "db")[0][0][2:6] == pytest.approx([0.1, 0.1, 0.5, 0.5])
    assert (tmp_path / "db_name_size.txt").read_text() == "a 30 40\n"


def test_settings_and_sources_that_do_not_fit(tmp_path):
    with fault("E512", "`min_dim` 5 is larger than `max_dim` 3"):
        AnnotatedSettings(min_dim=5, max_dim=3).check()
    with fault("E512", "exclude each other"):
        AnnotatedSettings(min_dim=5, height=3, width=3).check()
    with fault("E501", "has no folder `Annotations`"):
        data_set(tmp_path)
    (tmp_path / "Annotations").mkdir()
    with fault("E502", "contains no XML files"):
        data_set(tmp_path)
    with fault("E501", "cannot be read"):
        data_set(tmp_path, split="val")
    with fault("E501", "cannot be read"):
        read_voc(tmp_path / "none.xml")
    (tmp_path / "list").write_text("a.jpg\n")
    with fault("E506", "line 1 is not an image and its annotation file"):
        data_set(tmp_path / "list")
    with fault("E512", "`--set` selects images of a folder"):
        data_set(tmp_path / "list", split="val")


def run(capsys, *arguments) -> tuple[int, str]:
    status = main(["data", *map(str, arguments)])
    return status, capsys.readouterr().out


def test_the_verbs(tmp_path, capsys):
    folder = voc(tmp_path / "voc", a=xml(("cat", 4, 3, 20, 15)), b=xml())
    status, out = run(capsys, "annotated", folder, tmp_path / "db", "--resize", "8x9", "--check-label")
    assert status == 0
    assert "2 records, 1 box\n" in out
    assert read_label_map(tmp_path / "db_labelmap.prototxt") == label_map_of(["cat"])
    _, out = run(capsys, "show", tmp_path / "db", "--sheet", tmp_path / "sheet.png")
    assert "shape 3x8x9: 2\nboxes: 1, 1 image without, 0 difficult\nlabels: 1\n       1         1  100.0%" in out
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    assert run(capsys, "check", tmp_path / "db") == (0, f"{tmp_path / 'db'}: 2 records, all readable\n")
    (tmp_path / "list").write_text("JPEGImages/a.png Annotations/a.xml\n")
    _, out = run(capsys, "annotated", folder, tmp_path / "list", tmp_path / "db2", "--label_type=xml")
    assert "1 record, 1 box" in out
    assert run(capsys, "annotated", folder)[0] == 2
    assert run(capsys, "annotated", folder, tmp_path / "db3", "--resize", "8")[0] == 2
