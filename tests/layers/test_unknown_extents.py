"""Shape rules with extents that are not known: none raises for them, and none says of a top what may be wrong."""

from __future__ import annotations

from itertools import product as combinations

import pytest

from netc.ir.dims import UNKNOWN, agree, differ, known
from tests.layers.cases import CASES

ASKED = [case for case in CASES if case.first]


def tops_of(case, shapes):
    tops = 0 if case.layer.top_count.high == -1 and case.layer.top_count.low == 0 else case.tops
    return case.layer.infer(shapes, tops)[:tops]


def blobs_of(case, shapes):
    return tuple(weight.shape for weight in case.layer.weights(shapes))


def with_unknown(shapes, places):
    return tuple(
        tuple(UNKNOWN if (i, axis) in places else extent for axis, extent in enumerate(shape))
        for i, shape in enumerate(shapes)
    )


def contradictions(found, right):
    """Shapes that are known to differ; the numbers of axes and of shapes must be the same."""
    assert len(found) == len(right)
    return [(one, other) for one, other in zip(found, right) if differ(one, other)]


def one_unknown_extent_never_contradicts(case):
    for shapes in (case.first, case.second):
        places = [(i, axis) for i, shape in enumerate(shapes) for axis in range(len(shape))]
        for place in places:
            given = with_unknown(shapes, {place})
            assert not contradictions(tops_of(case, given), tops_of(case, shapes))
            assert not contradictions(blobs_of(case, given), blobs_of(case, shapes))


def all_unknown_extents_never_contradict(case):
    for shapes in (case.first, case.second):
        given = tuple((UNKNOWN,) * len(shape) for shape in shapes)
        assert not contradictions(tops_of(case, given), tops_of(case, shapes))
        assert not contradictions(blobs_of(case, given), blobs_of(case, shapes))


def inferred_shapes_hold_for_both_sizes(case):
    """Extents in which two sizes differ are unknown: whatever is then said of the tops must be true of both."""
    if [len(shape) for shape in case.first] != [len(shape) for shape in case.second]:
        return  # the two sizes have other numbers of axes
    common = tuple(
        tuple(one if one == other else UNKNOWN for one, other in zip(*pair)) for pair in zip(case.first, case.second)
    )
    for shapes in (case.first, case.second):
        assert not contradictions(tops_of(case, common), tops_of(case, shapes))


def known_extents_give_known_tops(case):
    """Only the number of rows of a few layers is left to the data."""
    of_data = case.layer.type == "Filter" if case.source is None else case.source.extents_of_data
    for shape in tops_of(case, case.first):
        assert all(map(known, shape)) or of_data


def test_a_wrong_extent_next_to_an_unknown_one_is_reported():
    """`differ` finds what is wrong for every value of the unknown extent, and nothing else."""
    for one, other in combinations((2, 3, UNKNOWN), repeat=2):
        assert differ(one, other) == (known(one) and known(other) and one != other)
        assert agree(one, other) == (known(one) and known(other) and one == other)
        assert not (agree(one, other) and differ(one, other))


@pytest.mark.parametrize("case", ASKED, ids=str)
def test_unknown_extents(case):
    one_unknown_extent_never_contradicts(case)
    all_unknown_extents_never_contradict(case)
    inferred_shapes_hold_for_both_sizes(case)
    known_extents_give_known_tops(case)
