"""Several meanings of one type name: by dialect, by predicate, and in doubt."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from netc.diagnostics import NetcError
from netc.ir.fields import Fields
from netc.ir.layer import Layer
from netc.layers import Choice, LayerUse, choose, layer_classes, register, registry
from tests.layers.meanings import register_upsample


@pytest.fixture
def meanings(monkeypatch):
    return register_upsample(monkeypatch)


def use(bottoms: int = 1, blobs: int | None = None, **parameters) -> LayerUse:
    return LayerUse(Fields(parameters), bottoms, 1, blobs)


def test_a_predicate_chooses_by_bottoms_parameters_and_blobs(meanings):
    unpool, repeat, weighted = meanings
    assert choose("Upsample", use(bottoms=2)).cls is unpool
    assert choose("Upsample", use(upsample_param=Fields({"scale": 2}))).cls is repeat
    assert choose("Upsample", use(blobs=1)).cls is weighted
    assert [cls.dialect for cls in layer_classes("Upsample")] == ["segnet", "weighted", "yolo"]


def test_a_named_dialect_decides_whatever_the_predicates_say(meanings):
    assert choose("Upsample", use(bottoms=2), "yolo").cls is meanings[1]
    assert choose("Upsample", use(bottoms=2), "ssd").cls is meanings[0]
    assert choose("ReLU", use(), "yolo").cls is registry()["ReLU"]


@pytest.mark.parametrize(
    ("given", "message", "named"),
    [
        (use(2, upsample_param=Fields({})), "2 meanings of layer type `Upsample` fit this layer", {"segnet", "yolo"}),
        (use(3), "no meaning of layer type `Upsample` fits this layer", {"segnet", "weighted", "yolo"}),
    ],
    ids=["several", "none"],
)
def test_an_ambiguous_type_lists_the_candidates(meanings, given, message, named):
    with pytest.raises(NetcError) as caught:
        choose("Upsample", given)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("E014", message)
    assert {note.split(" of ")[1].split(":")[0] for note in found.notes} == named
    assert "`Upsample` of yolo: Each value is repeated" in found.notes
    assert all(f"`--dialect {dialect}`" in found.help for dialect in named)


def test_a_likely_meaning_is_chosen_in_doubt_with_a_warning(meanings):
    @register("Upsample", dialect="enet", when=lambda use: use.bottoms == 2, likely=True)
    @dataclass(frozen=True)
    class Likely(Layer):
        """Values go where a pooling layer of ENet found them."""

    cls, doubt = choose("Upsample", use(2))
    assert cls is Likely
    assert doubt.code == "W014"
    assert doubt.message == "several meanings of layer type `Upsample` fit this layer: that of enet was chosen"
    assert doubt.notes[0] == "`Upsample` of enet: Values go where a pooling layer of ENet found them"
    assert doubt.help == "name the dialect of the file: `--dialect enet` or `--dialect segnet`"
    assert choose("Upsample", use(2), "segnet") == Choice(meanings[0])
    assert choose("Upsample", use(upsample_param=Fields({}))) == Choice(meanings[1])


def test_a_class_without_a_predicate_is_the_fallback(meanings):
    @register("Upsample")
    @dataclass(frozen=True)
    class Plain(Layer):
        """BVLC would have had it."""

    assert choose("Upsample", use(3)).cls is Plain
    assert choose("Upsample", use(2)).cls is meanings[0]
    assert registry()["Upsample"] is Plain


def test_one_dialect_takes_a_name_once(meanings):
    with pytest.raises(ValueError, match="Upsample of yolo is registered twice"):
        register("Upsample", dialect="yolo")(Layer)


def test_an_unknown_type_has_no_class():
    assert choose("Poling", use()) == Choice(None)
    assert layer_classes("Poling") == ()
