"""The figures that papers and others print of nets come out of the prototxts in models/."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import netc
from netc.ir.dims import product

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/deploy.prototxt"))
NO_DATA = {"W020"}
"""Codes of what a file names and this machine lacks."""
INPUTS = {
    "lenet": (1, 28, 28),
    "cifar10_quick": (3, 32, 32),
    "cifar10_full": (3, 32, 32),
    "inception_v3": (3, 299, 299),
}
INPUTS.update(dict.fromkeys(("alexnet", "caffenet", "alexnet_gap"), (3, 227, 227)))
PIXELWISE = {"fcn8s": (3, 500, 500), "segnet": (3, 352, 480)}
"""Nets with a label per pixel."""
INPUTS.update(PIXELWISE)


@cache
def summary(name: str, file: str = "deploy", phase: str = "test"):
    """Of one image for a train_val net, whose database is not there."""
    label = (1, 1, *PIXELWISE[name][1:]) if name in PIXELWISE else (1,)
    shapes = {"data": (1, *INPUTS.get(name, (3, 224, 224))), "label": label} if file != "deploy" else None
    return netc.summary(MODELS / name / f"{file}.prototxt", phase=phase, shapes=shapes)


def tops(name: str) -> dict[str, tuple[int, ...]]:
    return {row.name: row.tops[0] for row in summary(name).rows}


def learned(name: str, file: str = "deploy", phase: str = "test") -> int:
    """Elements that a solver changes: BatchNorm's statistics, which papers do not count, left out."""
    graph = summary(name, file, phase).graph
    return sum(product(w.shape) for node in graph.nodes for w in graph.weights(node) if w.learnable)


def test_alexnet():
    """Krizhevsky et al. 2012, section 3.5: 96 kernels of 11x11 with stride 4 on 227x227 (printed as 224) give 55x55.

    CS231n, lecture 9 (2017): CONV1 55x55x96, MAX POOL3 6x6x256. The paper's "60 million parameters" are 61.0.
    """
    assert tops("alexnet")["conv1"] == (1, 96, 55, 55)
    assert tops("alexnet")["pool5"] == (1, 256, 6, 6)
    assert summary("alexnet").parameters == summary("caffenet").parameters == 60_965_224


def test_caffenet_is_alexnet_but_for_the_order():
    """BVLC Caffe, models/bvlc_reference_caffenet/readme.md: pooling is done before normalization."""
    assert tops("alexnet")["norm1"] == (1, 96, 55, 55)
    assert tops("caffenet")["norm1"] == (1, 96, 27, 27)
    assert summary("alexnet").macs == summary("caffenet").macs


@pytest.mark.parametrize(("letter", "millions"), [("a", 133), ("b", 133), ("c", 134), ("d", 138), ("e", 144)])
def test_vgg_parameters(letter, millions):
    """Simonyan and Zisserman 2014, table 2."""
    assert round(summary(f"vgg_{letter}").parameters / 1e6) == millions


def test_vgg_d_parameters_to_a_digit():
    """CS231n, convolutional networks, VGGNet in detail: TOTAL params 138M; 138.4 as summed there."""
    assert round(summary("vgg_d").parameters / 1e6, 1) == 138.4


MEMORY = """
data 150K 0 | conv1_1 3.2M 1,728 | conv1_2 3.2M 36,864 | pool1 800K 0 | conv2_1 1.6M 73,728 | conv2_2 1.6M 147,456
pool2 400K 0 | conv3_1 800K 294,912 | conv3_2 800K 589,824 | conv3_3 800K 589,824 | pool3 200K 0
conv4_1 400K 1,179,648 | conv4_2 400K 2,359,296 | conv4_3 400K 2,359,296 | pool4 100K 0
conv5_1 100K 2,359,296 | conv5_2 100K 2,359,296 | conv5_3 100K 2,359,296 | pool5 25K 0
fc6 4096 102,760,448 | fc7 4096 16,777,216 | fc8 1000 4,096,000
"""
"""Layer, values an image, weights without biases: CS231n, convolutional networks, "VGGNet in detail"."""


def rounded(printed: str) -> float:
    return float(printed.rstrip("KM")) * {"K": 1e3, "M": 1e6}.get(printed[-1], 1)


def test_vgg_d_memory_table():
    """CS231n's rows; they sum to 15.2M values an image, the 24M printed under them is a slip."""
    rows = {row.name: row for row in summary("vgg_d").rows}
    values = 0
    for entry in re.split(r"[|\n]", MEMORY.strip()):
        name, memory, weights = entry.split()
        top = rows[name].tops[0]
        biases = top[1] if rows[name].parameters else 0
        assert product(top) == pytest.approx(rounded(memory), rel=0.04), name
        assert rows[name].parameters - biases == int(weights.replace(",", "")), name
        values += product(top)
    assert round(values / 1e6, 1) == 15.2
    probabilities = 1000
    assert summary("vgg_d").activation_bytes == 4 * (values + probabilities)


def test_googlenet():
    """BVLC Caffe's bvlc_googlenet: 7.0M parameters as deployed, 13.4M with both heads (Szegedy et al., figure 3)."""
    assert round(summary("googlenet").parameters / 1e6, 1) == 7.0
    assert round(summary("googlenet", "train_val", "train").parameters / 1e6, 1) == 13.4
    assert tops("googlenet")["inception_3a/output"] == (1, 256, 28, 28)
    assert tops("googlenet")["inception_5b/output"] == (1, 1024, 7, 7)


@pytest.mark.parametrize(("depth", "exact", "printed"), [(50, 3.86, 3.8), (101, 7.57, 7.6), (152, 11.28, 11.3)])
def test_resnet_multiply_adds(depth, exact, printed):
    """He et al. 2015, table 1: FLOPs, which are multiply-adds; the paper prints 3.8 where 3.86 is counted."""
    billions = summary(f"resnet{depth}").macs / 1e9
    assert round(billions, 2) == exact
    assert abs(billions - printed) < 0.07
    assert tops(f"resnet{depth}")["pool5"] == (1, 2048, 1, 1)


def test_resnets_have_as_many_layers_as_their_names_say():
    """He et al. 2015, table 1: convolutions on the longest path, and one inner product."""
    for depth in (50, 101, 152):
        rows = summary(f"resnet{depth}").rows
        kinds = [row.type for row in rows if not row.name.endswith("branch1")]
        assert kinds.count("Convolution") + kinds.count("InnerProduct") == depth


def test_inception_v3():
    """Szegedy et al. 2015, table 1 (299x299x3 to 8x8x2048) and abstract (less than 25 million parameters)."""
    assert tops("inception_v3")["data"] == (1, 3, 299, 299)
    assert tops("inception_v3")["pool2_3x3_s2"] == (1, 192, 35, 35)
    assert tops("inception_v3")["reduction_a_concat"] == (1, 768, 17, 17)
    assert tops("inception_v3")["inception_c2_concat"] == (1, 2048, 8, 8)
    assert round(learned("inception_v3") / 1e6, 1) == 23.8


def test_alexnet_gap():
    """Zhou et al. 2016, deploy_alexnetplusCAM_places205.prototxt of their code: ten crops, 512 maps of 11x11."""
    assert tops("alexnet_gap")["conv7"] == (10, 512, 11, 11)
    assert tops("alexnet_gap")["fc9"] == (10, 205)


def test_fcn8s():
    """Long et al. 2015, section 4: VGG-16 as convolutions has 134M parameters; voc-fcn8s of their code: fc6 16x16."""
    assert summary("fcn8s").parameters == 134_489_759
    assert summary("fcn8s").macs == 181_529_034_048
    assert tops("fcn8s")["fc6"] == (1, 4096, 16, 16)
    assert tops("fcn8s")["score"] == (1, 21, 500, 500)


def test_segnet():
    """Badrinarayanan et al. 2017, table 6: a model size of 117 MB, with four bytes per parameter."""
    assert summary("segnet").parameters == 29_449_355
    assert 4 * summary("segnet").parameters // 10**6 == 117
    assert summary("segnet").macs == 104_133_427_200
    assert tops("segnet")["conv1_1_D"] == (1, 11, 352, 480)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/*.prototxt")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_file_checks_clean(path):
    found = [d.render() for d in netc.check(path) if d.code not in NO_DATA]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("phase", ["train", "test"])
def test_a_pair_shares_its_learned_layers(name, phase):
    """Weights of the one fit the other, layer by layer; only auxiliary heads are in training alone."""

    def blobs(file):
        graph = summary(name, file, phase).graph
        return {node.name: [w.shape for w in graph.weights(node)] for node in graph.nodes if graph.weights(node)}

    deployed, trained = blobs("deploy"), blobs("train_val")
    assert {key: trained.get(key) for key in deployed} == deployed
    assert all(key.startswith(("loss1/", "loss2/", "aux_")) for key in trained.keys() - deployed.keys())


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_states_what_summary_says(name):
    text = (MODELS / name / "README.md").read_text()
    result = summary(name)
    batch = tops(name)["data"][0]
    assert f"| Parameters | {learned(name):,}" in text
    assert f"| Multiply-adds per image | {result.macs // batch:,} |" in text
    if result.parameters != learned(name):
        assert f"and {result.parameters - learned(name):,} of BatchNorm's statistics" in text
