"""netc.check: states, solvers, files, warnings; each rule by a net that breaks it and one that does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netc
from netc.diagnostics import Source

DATA = """
layer {
  name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 } }
}
"""
IMAGE = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 dim: 9 dim: 11 } } }\n'


def layer(name: str, type: str, bottoms: str = "", tops: str = "", more: str = "") -> str:
    names = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{type}"{names} {more} }}\n'


def fc(bottom: str = "data", top: str = "fc", more: str = "", outputs: int = 4) -> str:
    return layer(top, "InnerProduct", bottom, top, f"inner_product_param {{ num_output: {outputs} }} {more}")


LOSS = layer("loss", "SoftmaxWithLoss", "fc label", "loss")
SOUND = DATA + fc() + LOSS
TRAIN, TEST = "include { phase: TRAIN }", "include { phase: TEST }"


def check(text: str, **settings):
    return netc.check(Source("net.prototxt", text), **settings)


def codes(text: str, **settings) -> list[str]:
    return [d.code for d in check(text, **settings)]


# ---- states


def test_a_sound_net_gives_nothing():
    assert check(SOUND) == []


def test_a_fault_in_both_phases_is_told_once_and_without_a_phase():
    (found,) = check(DATA + fc(more="param {} param {} param {}") + LOSS)
    assert found.code == "E021"
    assert not [note for note in found.notes if "net" in note]


def test_a_fault_of_one_phase_names_it():
    of_test = layer("data", "Input", "", "data", f"input_param {{ shape {{ dim: 4 dim: 6 }} }} {TEST}")
    (found,) = check(of_test + SOUND.replace('top: "label"', f'top: "label" {TRAIN}', 1))
    assert (found.code, found.span.text, found.notes[-1]) == ("E011", '"label"', "in the TEST net")


def test_a_file_for_one_phase_alone_is_no_fault_of_the_other():
    assert check(SOUND.replace('top: "label"', f'top: "label" {TRAIN}', 1)) == []


def test_each_phase_has_its_own_shapes():
    crop = layer("pool", "Pooling", "data", "pool", "pooling_param { kernel_size: 10 }")
    big, small = (IMAGE.replace("dim: 9", f"dim: {h}") for h in (12, 9))
    text = big.replace("top:", f"{TRAIN} top:") + small.replace("top:", f"{TEST} top:") + crop
    (found,) = check(text)
    assert (found.code, found.notes[-1]) == ("E102", "in the TEST net")
    assert "data[2,6,9,11]" in found.notes[0]


def test_every_stage_that_the_file_names_is_looked_at():
    text = SOUND + layer("odd", "Flatten", "fc", "fc", 'include { stage: "deploy" }')
    (found,) = check(text)
    assert (found.code, found.line) == ("E023", 8)


def test_a_net_whose_data_stands_behind_a_stage_is_sound():
    """As NVIDIA DIGITS writes them: train, val and deploy in one file, distinguished by stages alone."""
    shaped = [
        SOUND.replace('top: "label"', f'top: "label" include {{ stage: "{stage}" }}', 1) for stage in ("train", "val")
    ]
    data = "".join(text[: text.index("layer", 10)] for text in shaped)
    deploy = layer("input", "Input", "", "data", 'input_param { shape { dim: 4 dim: 6 } } include { stage: "deploy" }')
    head = layer("loss", "SoftmaxWithLoss", "fc label", "loss", 'exclude { stage: "deploy" }')
    prob = layer("prob", "Softmax", "fc", "prob", 'include { stage: "deploy" }')
    assert check(data + deploy + fc() + head + prob) == []


def staged(name: str, type: str, bottoms: str, tops: str, stage: str) -> str:
    return layer(name, type, bottoms, tops, f'include {{ stage: "{stage}" }}')


def test_a_stage_that_needs_another_one_is_no_error():
    """A bottom of one stage may be the top of another; which of them are used together, the file does not say."""
    one, other = staged("one", "Sigmoid", "data", "act", "one"), staged("other", "TanH", "data", "act", "other")
    last = staged("last", "ReLU", "act", "last", "last")
    text = IMAGE + one + other + staged("more", "TanH", "data", "x", "more") + last
    assert check(text) == []
    assert codes(text, stages=["last"]) == ["E011"]
    (found,) = check(text.replace('bottom: "act"', 'bottom: "atc"'))
    assert (found.code, found.span.text) == ("E011", '"atc"')


def test_layers_of_the_test_phase_alone_are_a_file_for_it():
    score = layer("score", "Sigmoid", "data", "score", TEST)
    text = IMAGE + score + layer("end", "ReLU", "score", "end")
    assert check(text) == []
    (found,) = check(text.replace('bottom: "score"', 'bottom: "scor"'))
    assert found.code == "E011"
    hidden = SOUND.replace(fc(), fc(more=TEST))  # a loss: the file is for training
    assert codes(hidden) == ["E011"]
    excluded = IMAGE + score.replace(TEST, "exclude { phase: TRAIN }") + layer("end", "ReLU", "score", "end")
    assert check(excluded) == []


def test_a_level_is_told_apart_too():
    text = SOUND + layer("odd", "Flatten", "fc", "fc", "include { min_level: 3 }")
    assert codes(text) == ["E023"]
    assert codes(text, level=2) == []
    assert codes(text, level=3) == ["E023"]


def test_a_stage_that_is_asked_for_is_the_only_one():
    text = SOUND + layer("odd", "Flatten", "fc", "fc", 'include { stage: "a" }')
    assert codes(text, stages=["b"]) == []
    assert codes(text, stages=["a"]) == ["E023"]


def test_of_a_layer_that_was_not_read_nothing_more_is_said():
    text = DATA + fc(outputs=4).replace("num_output: 4", 'num_output: "4"') + LOSS
    assert codes(text) == ["E006"]


# ---- files


def test_what_is_not_here_is_a_warning_and_an_error_when_strict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = layer("data", "Data", "", "data label", 'data_param { source: "train_lmdb" batch_size: 8 }') + fc() + LOSS
    (found,) = check(text)
    assert (found.code, found.severity, found.span.text) == ("W020", "warning", '"train_lmdb"')
    (found,) = check(text, strict=True)
    assert (found.code, found.severity) == ("W020", "error")


def test_strict_takes_the_schema_of_bvlc_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = IMAGE + layer("pool", "Pooling", "data", "pool", "pooling_param { kernel_size: 2 ceil_mode: false }")
    assert [(d.code, d.severity) for d in check(text)] == [("W002", "warning")]
    assert [(d.code, d.severity) for d in check(text, strict=True)] == [("W001", "error")]
    Path("pool.prototxt").write_text(text)
    solver = 'net: "pool.prototxt" base_lr: 1 lr_policy: "fixed" max_iter: 1'
    assert [(d.code, d.severity) for d in check(solver, strict=True)] == [("W001", "error")]


def test_unknown_shapes_are_checked_where_they_are_known():
    crop = "transform_param { crop_size: 5 }"
    text = layer("data", "Data", "", "data", f'data_param {{ source: "nowhere" batch_size: 8 }} {crop}')
    pool = layer("pool", "Pooling", "data", "pool", "pooling_param { kernel_size: 6 }")
    found = check(text + pool)
    assert [d.code for d in found] == ["W020", "E102"]
    assert "data[8,?,5,5]" in found[1].notes[0]
    assert codes(text.replace(crop, "") + pool) == ["W020"]
    assert codes(text.replace(crop, "") + pool, shapes={"data": (8, 3, 4, 4)}) == ["W020", "E102"]


def test_a_file_beside_the_net_is_found(tmp_path):
    (tmp_path / "list.txt").write_text("")
    text = layer(
        "data", "HDF5Data", "", "data", 'hdf5_data_param { source: "list.txt" batch_size: 8 }'
    ) + layer("relu", "ReLU", "data", "relu")  # fmt: skip
    (tmp_path / "net.prototxt").write_text(text)
    assert "W020" not in {d.code for d in netc.check(tmp_path / "net.prototxt")}


def test_a_faulty_source_is_an_error_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("cat.jpg zero\n")
    text = layer("data", "ImageData", "", "data label", 'image_data_param { source: "list.txt" batch_size: 2 }')
    assert codes(text + fc() + LOSS) == ["E506"]


# ---- solvers


SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 10\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(SOUND)
    return tmp_path


def test_a_sound_solver_gives_nothing(folder):
    assert check(SOLVER + "test_iter: 2 test_interval: 5") == []


def test_a_solver_and_its_net_are_told_of_together(folder):
    Path("net.prototxt").write_text(SOUND.replace('"label"', '"labels"', 1))
    found = check(SOLVER + "momentum: 2")
    assert [(d.file, d.code) for d in found] == [("net.prototxt", "E603"), ("net.prototxt", "E011")]


def test_a_phase_that_a_solver_uses_must_be_whole(folder):
    Path("net.prototxt").write_text(SOUND.replace('top: "label"', f'top: "label" {TRAIN}', 1))
    assert codes(SOLVER) == []
    assert codes(SOLVER + "test_iter: 2 test_interval: 5") == ["E011", "E011"]


def test_a_state_that_a_solver_never_asks_for_has_no_errors(folder):
    data = layer("data", "DummyData", "", "data", f"dummy_data_param {{ shape {{ dim: 4 dim: 6 }} }} {TEST}")
    text = data + SOUND.replace('top: "label"', f'top: "label" {TRAIN}', 1)
    Path("net.prototxt").write_text(text)
    assert codes(text) == ["E011"]
    assert "E011" not in codes(SOLVER) + codes(SOLVER + "test_iter: 0")
    assert "E011" in codes(SOLVER + "test_iter: 2 test_interval: 5")


def test_a_solver_chooses_the_stages_of_its_nets(folder):
    Path("net.prototxt").write_text(SOUND.replace('top: "label"', 'top: "label" include { stage: "fine" }', 1))
    assert codes(SOLVER + 'train_state { stage: "fine" }') == []
    assert codes(SOLVER) == ["E011", "E011"]
    assert codes(SOLVER + 'train_state { stage: "fien" }') == ["W107", "E011", "E011"]


def test_a_train_and_a_test_net_of_two_files_are_compared(folder):
    Path("test.prototxt").write_text(DATA + fc(outputs=5) + LOSS)
    Path("other.prototxt").write_text(DATA + fc() + fc("fc", "more") + LOSS.replace('"fc"', '"more"'))
    solver = 'train_net: "net.prototxt" base_lr: 1 lr_policy: "fixed" max_iter: 1 test_iter: 1 test_interval: 1 '
    assert codes(solver + 'test_net: "net.prototxt"') == []
    assert codes(solver + 'test_net: "test.prototxt"') == ["E204"]
    assert codes(solver + 'test_net: "other.prototxt"') == ["W106"]


def test_a_net_within_a_solver_is_checked(folder):
    inner = SOUND.replace('bottom: "data"', 'bottom: "dtaa"')
    assert codes(f'net_param {{ {inner} }} base_lr: 1 lr_policy: "fixed" max_iter: 1') == ["E011"]


def test_a_missing_net_and_a_missing_folder_are_warnings(folder):
    text = SOLVER.replace("net.prototxt", "gone.prototxt") + 'snapshot_prefix: "gone/lenet"'
    assert codes(text) == ["W020", "W021"]
    assert {d.severity for d in check(text, strict=True)} == {"error"}


def test_a_snapshot_prefix_that_cannot_be_written_is_an_error(folder):
    for prefix, reason in (("net.prototxt/lenet", "is not a directory"), (f"{'f' * 300}/lenet", "file name too long")):
        (found,) = check(SOLVER + f'snapshot_prefix: "{prefix}"')
        assert found.code == "E605"
        assert found.message.endswith(reason)


# ---- warnings


@pytest.mark.parametrize(
    ("text", "tops"),
    [
        (DATA + fc(), ["label"]),
        (SOUND + layer("r", "ReLU", "fc", "aside"), ["aside"]),
        (IMAGE + layer("r", "ReLU", "data", "aside") + fc(), ["aside"]),
        # what nets are for
        (SOUND + layer("p", "Softmax", "fc", "prob") + layer("a", "Accuracy", "fc label", "accuracy"), []),
        (IMAGE + fc() + fc("data", "boxes"), []),
        (IMAGE + fc() + layer("r", "ReLU", "fc", "features"), []),
        (DATA + fc() + layer("quiet", "Silence", "label"), []),
        (SOUND.replace('top: "loss"', 'top: "loss" top: "prob"'), []),
        (IMAGE, []),
    ],
)
def test_a_top_that_nothing_uses(text, tops):
    found = check(text)
    assert {d.code for d in found} <= {"W101"}
    assert [d.message for d in found] == [f"nothing uses the top `{top}`" for top in tops]


def in_place(*types: str, first: str = "a") -> str:
    """fc, then layers one upon the other: the first with a top of its own, the others in place."""
    text, blob = DATA + fc(), "fc"
    for i, type in enumerate(types):
        top = first if i == 0 else blob
        text += layer(f"l{i}", type.split()[0], blob, top, " ".join(type.split()[1:]))
        blob = top
    return text + layer("loss", "SoftmaxWithLoss", f"{blob} label", "loss")


@pytest.mark.parametrize(
    ("text", "unsafe"),
    [
        (in_place("ReLU", first="fc"), False),
        (in_place("ReLU", "Dropout", first="fc"), False),
        (in_place("BatchNorm", "Scale", "ReLU", first="fc"), False),
        (in_place("Sigmoid", "Dropout"), True),
        (in_place("TanH", "ReLU"), True),
        (in_place("Softmax", "Scale"), True),
        (in_place("Exp", "ReLU"), True),
        (in_place("Power power_param{power:3}", "ReLU"), True),
        (in_place("Power power_param{power:2}", "ReLU"), False),
        (in_place("BNLL", "ReLU"), False),
        (in_place("BNLL", first="fc"), True),
        (in_place("Log", first="fc"), True),
        (in_place("ReLU", "Scale", first="fc"), True),
        (in_place("ReLU", "Scale"), False),
        (in_place("PReLU", "Scale", first="fc"), False),
    ],
)
def test_an_unsafe_in_place_layer(text, unsafe):
    assert codes(text, ignore=["W103"]) == ["W102"] * unsafe


def test_an_in_place_layer_on_data_needs_no_gradient():
    assert codes(DATA + layer("log", "Log", "data", "data") + fc() + LOSS) == []


def test_an_in_place_layer_on_data_must_not_rearrange_it():
    convolution = "convolution_param { num_output: 3 kernel_size: 1 }"
    (found,) = check(DATA + layer("conv", "Convolution", "data", "data", convolution) + fc() + LOSS)
    assert (found.code, found.message) == (
        "W102", "layer `conv` cannot run in place: `Convolution` needs its bottom"
    )  # fmt: skip


def test_a_blob_that_is_read_before_it_is_overwritten():
    (found,) = check(DATA + fc() + fc("fc", "side") + layer("r", "ReLU", "fc", "fc") + layer(
        "sum", "Eltwise", "fc side", "sum") + layer("loss", "SoftmaxWithLoss", "sum label", "loss"))  # fmt: skip
    assert (found.code, found.message) == ("W102", "layer `r` cannot run in place: layer `side` reads `fc` before")


@pytest.mark.parametrize(
    ("following", "found"),
    [
        ("", 1),
        (layer("scale", "Scale", "bn", "scale"), 0),
        (layer("scale", "Scale", "bn", "bn"), 0),
        (layer("r", "ReLU", "bn", "r") + layer("scale", "Scale", "r", "scale"), 1),
        # C.ReLU: the negation beside it, then one Scale for both
        (layer("n", "Power", "bn", "n", "power_param { scale: -1 }") + layer("c", "Concat", "bn n", "c")
         + layer("scale", "Scale", "c", "scale"), 0),
    ],
)  # fmt: skip
def test_batch_norm_without_scale(following, found):
    assert codes(IMAGE + layer("bn", "BatchNorm", "data", "bn") + following) == ["W103"] * found


def test_a_loss_without_weight():
    assert codes(SOUND.replace('top: "loss"', 'top: "loss" loss_weight: 0')) == ["W104"]
    assert codes(SOUND.replace('top: "loss"', 'top: "loss" loss_weight: 0.1')) == []
    assert codes(SOUND.replace('top: "loss"', 'top: "loss" top: "p" loss_weight: 0 loss_weight: 1')) == []


@pytest.mark.parametrize(
    ("type", "scores", "labels", "odd"),
    [
        ("SoftmaxWithLoss", (4, 6, 5, 7), (4, 1, 5, 7), False),
        ("SoftmaxWithLoss", (4, 6, 5, 7), (4, 5, 7), False),
        ("SoftmaxWithLoss", (4, 6, 5, 7), (4, 35), False),
        ("SoftmaxWithLoss", (4, 6, 5, 7), (4, 7, 5), True),
        ("SoftmaxWithLoss", (4, 6), (4, 1, 1, 1), False),
        ("EuclideanLoss", (4, 6, 5), (4, 30), False),
        ("EuclideanLoss", (4, 6, 5), (4, 6, 5, 1), False),
        ("EuclideanLoss", (4, 6, 5), (4, 5, 6), True),
        ("SigmoidCrossEntropyLoss", (4, 6, 5), (4, 5, 6), True),
    ],
)
def test_labels_of_another_shape(type, scores, labels, odd):
    shapes = " ".join(f"shape {{ {' '.join(f'dim: {e}' for e in shape)} }}" for shape in (scores, labels))
    text = layer("data", "DummyData", "", "a b", f"dummy_data_param {{ {shapes} }}") + layer(
        "loss", type, "a b", "loss"
    )
    assert codes(text) == ["W105"] * odd


def test_layers_that_one_phase_alone_learns():
    head = fc("fc", "head")
    two = (
        DATA
        + fc()
        + fc("fc", "a", TRAIN).replace('top: "a"', 'top: "b"')
        + fc("fc", "c", TEST).replace('top: "c"', 'top: "b"')
    )
    loss = layer("loss", "SoftmaxWithLoss", "b label", "loss")
    assert [d.message for d in check(two + loss)] == [
        "only the train net has the learned layer `a`",
        "only the test net has the learned layer `c`",
    ]
    assert codes(DATA + fc() + head + layer("loss", "SoftmaxWithLoss", "head label", "loss")) == []
    shared = two.replace('name: "a"', 'name: "a" param { name: "w" } param { name: "v" }')
    shared = shared.replace('name: "c"', 'name: "c" param { name: "w" } param { name: "v" }')
    assert codes(shared + loss) == []


def test_names_that_are_meant_to_be_alike_are_no_slips():
    pairs = "".join(
        fc("data", f"fc{i}{side}", f'param {{ name: "fc{i}_w" }} param {{ name: "fc{i}_b" }}', 4)
        for i in (1, 2)
        for side in "ab"
    )
    alone = fc("data", "fc3", 'param { name: "fc3_w" } param { name: "fc3_b" }')
    assert codes(IMAGE + pairs + alone) == []
    assert codes(IMAGE + pairs + alone.replace("fc3_w", "fc1_W")) == ["W107"]


def test_warnings_can_be_switched_off_and_errors_cannot():
    text = DATA + fc() + layer("bn", "BatchNorm", "fc", "bn") + layer("flat", "Flatten", "fc", "fc")
    assert codes(text) == ["W103", "E023"]
    assert codes(text, ignore=["W103", "E023"]) == ["E023"]


def test_nothing_is_printed(capsys):
    check("layer { type: 3 }")
    assert capsys.readouterr() == ("", "")


def test_a_finding_is_an_object():
    (found,) = netc.check(Source("net.prototxt", 'layer {\n  name: "x"\n  type: "Poling"\n}'))
    assert (found.severity, found.code, found.file, found.line, found.column) == ("error", "E010", "net.prototxt", 3, 9)
    assert found.message == "unknown layer type `Poling`"
    assert found.help == "did you mean `Pooling`?"
    assert found.notes == ("in layer `x`",)


def test_a_file_that_is_not_there_is_a_finding():
    assert [d.code for d in netc.check("nowhere.prototxt")] == ["E001"]


@pytest.mark.parametrize("number", [2**31, 2**32 - 1])
def test_dimensions_that_overflow_are_errors_where_they_stand(number):
    (found,) = check(IMAGE + fc(outputs=number))
    assert (found.code, found.span.text) == ("E104", str(number))


def test_products_beyond_64_bits_are_errors():
    (found,) = check(IMAGE.replace("dim: 9 dim: 11", f"dim: {2**40} dim: {2**40}"))
    assert found.code == "E104"
    assert f"{12 * 2**80:,}" in found.message
    assert codes(IMAGE.replace("dim: 9", f"dim: {2**63}")) == ["E007"]


def test_unknown_extents_do_not_hide_an_overflow():
    text = layer("data", "Data", "", "data", 'data_param { source: "nowhere" batch_size: 8 }')
    conv = layer("c", "Convolution", "data", "c", "convolution_param { num_output: 2000000000 kernel_size: 2 }")
    assert codes(text + conv) == ["W020", "E104"]


def test_checking_waits_for_neither_torch_nor_numpy():
    code = "import sys, netc; netc.check(sys.argv[1]); netc.summary(sys.argv[1]);" + (
        "assert not {'torch', 'numpy', 'cv2', 'h5py', 'lmdb'} & set(sys.modules)"
    )
    net = Path(__file__).parent / "golden" / "errors" / "net.prototxt"
    done = subprocess.run([sys.executable, "-c", code, str(net)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_shape_for_what_is_no_input():
    (found,) = check(DATA + fc() + LOSS, shapes={"dat": (2, 3)})
    assert (found.code, found.help) == ("W039", "did you mean `data`?")
