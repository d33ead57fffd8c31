"""What a check must not say: warnings that follow from missing data or from another error, and false suggestions."""

from __future__ import annotations

from pathlib import Path

import pytest

import netc
from netc.diagnostics import Diagnostic, Source

INPUT = 'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 4 dim: 6 } } %s }\n'
LEARNED = 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }\n'
TRAIN, TEST = "include { phase: TRAIN }", "include { phase: TEST }"


def check(text: str, name: str = "net.prototxt") -> list[Diagnostic]:
    return netc.check(Source(name, text))


def relu(more: str) -> str:
    return f'layer {{ name: "r" type: "ReLU" bottom: "x" top: "r" {more} }}\n'


@pytest.mark.parametrize("phases", [(TRAIN, TEST), (TEST, TRAIN)])
def test_a_missing_list_does_not_mean_that_one_phase_learns_alone(phases):
    rows = (
        f'layer {{ name: "h" type: "HDF5Data" top: "x" hdf5_data_param {{ source: "no" batch_size: 4 }} {phases[0]} }}'
    )
    assert [d.code for d in check(rows + INPUT % phases[1] + LEARNED)] == ["W020"]


def test_a_layer_of_one_phase_is_still_reported_beside_a_missing_list():
    rows = f'layer {{ name: "h" type: "HDF5Data" top: "z" hdf5_data_param {{ source: "no" batch_size: 4 }} {TEST} }}\n'
    silent = f'layer {{ name: "s" type: "Silence" bottom: "z" {TEST} }}\n'
    found = check(rows + silent + INPUT % "" + LEARNED.replace("inner_product_param", f"{TRAIN} inner_product_param"))
    assert [d.message for d in found if d.code == "W106"] == ["only the train net has the learned layer `ip`"]


def test_labels_that_differ_in_number_do_not_match_in_number():
    shapes = "shape { dim: 4 dim: 6 dim: 5 dim: 5 } shape { dim: 4 dim: 7 dim: 5 }"
    data = f'layer {{ name: "d" type: "Input" top: "x" top: "l" input_param {{ {shapes} }} }}\n'
    loss = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" }'
    assert [d.code for d in check(data + loss)] == ["E102"]


@pytest.mark.parametrize("stage", ["", "deploy"])
def test_an_empty_stage_is_no_misspelling(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(INPUT % "" + LEARNED)
    solver = f'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" max_iter: 1 train_state {{ stage: "{stage}" }}'
    assert [d.code for d in check(solver, "solver.prototxt")] == ["W107"] * bool(stage)


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("ELu", "did you mean `ELU`?"),
        ("Softmaxx", "did you mean `Softmax`?"),
        ("PRelu", "did you mean `PReLU`?"),
        ("Gelu", None),
        ("CReLU", None),
        ("HSwish", None),
        ("Swish2", None),
    ],
)
def test_a_longer_name_is_another_layer(name, help):
    (found,) = check(INPUT % "" + relu("").replace("ReLU", name))
    assert (found.code, found.message, found.help) == ("E010", f"unknown layer type `{name}`", help)


def test_a_layer_of_a_fork_in_another_case():
    (found,) = check(INPUT % "" + relu("").replace("ReLU", "refinedetOutput"))
    assert (found.message, found.help) == ("unsupported layer type `refinedetOutput`", None)
    assert found.notes[0].startswith("`RefineDetOutput` is a layer of RefineDet")


def test_paths_with_backslashes():
    wrong, control = check('net: "D:\\data\\net" base_lr: 1 lr_policy: "fixed" snapshot_prefix: ".\\new" max_iter: 1')
    assert (wrong.code, wrong.help) == ("E004", 'write the path with slashes: `"D:/data/net"`')
    assert (control.code, control.help) == ("W111", 'write the path with slashes: `"./new"`')


def test_a_solver_without_a_net_is_still_reported():
    found = check('net_param: "D:\\data" base_lr: 1 lr_policy: "fixed" max_iter: 1')
    assert "E601" not in [d.code for d in found]
    assert [d.code for d in check('base_lr: 1 lr_policy: "fixed" max_iter: 1')] == ["E601"]
