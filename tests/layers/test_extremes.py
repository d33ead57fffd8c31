"""Every layer of a file is valid or a diagnostic: each type with each number of bottoms and tops, with any number
of axes, and each parameter at its bounds.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from netc.diagnostics import Source
from netc.frontends import read_net
from netc.inspection import check, summary
from netc.ir.layer import Layer
from netc.layers import layer_classes, registry
from tests.layers.extremes import BLOBS, INPUTS, UNKNOWN, Use, counts, settings

TYPES = sorted(registry())


@pytest.fixture(autouse=True)
def _bounded_memory():
    """A bound that becomes a size raises MemoryError rather than taking the memory of the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def checked(uses: list[Use]) -> dict[str, str]:
    """Check all uses in one net; returns the code of the error of each use that has one, by name."""
    text = INPUTS + UNKNOWN + "".join(use.text for use in uses)
    net = read_net(Source("net.prototxt", text))
    lines = {layer.place.line: layer.name for layer in reversed(net.layers) if layer.place}  # a fused layer is several
    found = check(Source("net.prototxt", text))
    assert all(d.line for d in found)
    errors = {lines[d.line]: d.code for d in found if d.severity == "error" and d.line}
    if len(uses) > 1 and any(d.code == "W119" for d in found):  # at the data layer with the batch size
        errors |= {use.name: "W119" for use in uses if use.name not in errors and "W119" in checked([use]).values()}
    return errors | {lines[d.line]: d.code for d in found if d.code == "W119"}


def summarized(uses: list[Use], errors: dict[str, str]) -> None:
    """Compute the costs and receptive fields of all uses without an error, which must not fail either."""
    valid = "".join(use.text for use in uses if use.name not in errors)
    assert str(summary(Source("net.prototxt", INPUTS + UNKNOWN + valid)))


def accepted(cls: type[Layer], use: Use) -> bool:
    same = not cls.same_count or len(use.bottoms) == use.tops
    return len(use.bottoms) in cls.bottom_count and use.tops in cls.top_count and same


@pytest.mark.parametrize("kind", TYPES)
def test_numbers_of_bottoms_and_tops(kind):
    classes = layer_classes(kind)
    uses = list(counts(kind, classes[0].param_field))
    errors = checked(uses)
    if len(classes) == 1:
        wrong = {use.name for use in uses if not accepted(classes[0], use)}
        automatic = {use.name for use in uses if classes[0].is_loss and not use.tops}
        assert all(errors.get(name) for name in wrong - automatic)
    summarized(uses, errors)


FEW = [("in4",), ("in4", "in1"), ("in4", "in4", "in1"), ("in4", "in4", "in4", "in4")]
ALL = [(blob,) * count for count in range(1, 4) for blob in BLOBS]


def fitting(kind: str, candidates: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Those candidates of which some class of the type accepts the number, or no bottoms for a data layer."""
    rules = [cls.bottom_count for cls in layer_classes(kind)]
    return [names for names in ((), *candidates) if any(len(names) in rule for rule in rules)]


def fewest_tops(kind: str) -> int:
    cls = layer_classes(kind)[0]
    return 1 if 1 in cls.top_count else cls.top_count.low


@pytest.mark.parametrize("kind", TYPES)
def test_parameters_at_their_bounds(kind):
    first = fitting(kind, FEW)[:1]
    uses = list(settings(kind, layer_classes(kind)[0].param_field, first, fewest_tops(kind)))
    summarized(uses, checked(uses))


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_parameters_at_their_bounds_with_all_bottoms(kind):
    """In files of 2000 layers, so that memory stays bounded; each parameter with every fourth kind of bottoms."""
    field = layer_classes(kind)[0].param_field
    for tops in range(1, 3):
        uses = list(settings(kind, field, fitting(kind, ALL), tops, few=4))
        for start in range(0, len(uses), 2000):
            part = uses[start : start + 2000]
            summarized(part, checked(part))
