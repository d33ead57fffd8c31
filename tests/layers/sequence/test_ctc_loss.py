"""The CTC losses against the sum over all paths, and their layouts of labels."""

import itertools

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.sequence.ctc_loss import CTCLoss, CtcLoss, WarpCTCLoss, WarpCTCLossByIndicators, WarpCTCLossByLengths
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, run, shapes_of

REQUIRED = {
    "CtcLoss": "alphabet_size: 3 time_step: 2",
}
SUMMED = Source(own_gradient="that of the sum of the sequences' losses")
CASES = [
    Case(made("WarpCTCLoss"), ((5, 2, 4), (2, 3)), ((6, 3, 4), (3, 2)), integers=(1,), below=4, source=SUMMED),
    Case(made("CtcLoss", 4, 5), ((5, 2, 4), (2, 3)), ((6, 3, 4), (3, 2)), integers=(1,), below=4, source=SUMMED),
    Case(
        made("CTCLoss"),
        ((6, 2, 4), (6, 2), (6, 2)),
        ((7, 3, 4), (7, 3), (7, 3)),
        integers=(1, 2),
        below=2,
        source=SUMMED,
    ),
]
T, N, C = 5, 3, 4


def collapsed(path, blank):
    return [label for label, _ in itertools.groupby(path) if label != blank]


def cost(scores, labels, blank):
    """-log of the sum of the probabilities of all paths; 0 without any."""
    exponents = np.exp(scores - scores.max(1, keepdims=True))
    p = exponents / exponents.sum(1, keepdims=True)
    paths = itertools.product(range(scores.shape[1]), repeat=len(scores))
    fitting = [path for path in paths if collapsed(path, blank) == list(labels)]
    total = sum(np.prod([p[t, label] for t, label in enumerate(path)]) for path in fitting)
    return -np.log(total) if total > 0 else 0.0


def mean_cost(scores, sequences, blank, steps=None):
    steps = steps or [len(scores)] * len(sequences)
    return np.mean([cost(scores[: steps[n], n], labels, blank) for n, labels in enumerate(sequences)])


def compare(layer, scores, others, expected):
    """The loss, and its gradient by differences: that of the sum."""
    x = scores.clone().requires_grad_()
    module = module_of(layer, shapes_of((scores, *others))).double()
    loss = module(x, *others)
    assert loss.item() == pytest.approx(expected(scores.numpy()), rel=1e-9)
    (2 * loss).backward()
    for place in [(0, 0, 0), (1, 1, 2), (T - 1, N - 1, C - 1), (2, 2, 1)]:
        step = np.zeros(scores.shape)
        step[place] = 1e-6
        difference = (expected(scores.numpy() + step) - expected(scores.numpy() - step)) / 2e-6
        assert x.grad[place].item() == pytest.approx(2 * N * difference, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("blank", [0, 2])
def test_rows_of_labels(blank):
    scores = values(T, N, C)
    b = blank
    rows = torch.tensor([[1, b, 3, b], [b, b, 3, 3], [1, 3, 1, b]])
    sequences = [[1, 3], [3, 3], [1, 3, 1]]
    compare(WarpCTCLoss(b), scores, (rows,), lambda s: mean_cost(s, sequences, b))
    compare(CtcLoss(C, T - 1, b), scores, (rows.double(),), lambda s: mean_cost(s[: T - 1], sequences, b))


def test_sequences_too_short_for_their_labels_cost_nothing():
    rows = torch.tensor([[1, 1, 1], [1, 2, 3], [0, 0, 0]])
    scores = values(4, 3, 5)
    expected = mean_cost(scores.numpy(), [[1, 1, 1], [1, 2, 3], []], 0)
    assert cost(scores[:, 0].numpy(), [1, 1, 1], 0) == 0
    assert run(WarpCTCLoss(), scores, rows)[0] == pytest.approx(expected)


INDICATORS = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]]).double()


def test_columns_and_indicators():
    columns = torch.tensor([[0, 1, 2], [2, 1, -1], [-1, -1, 1], [-1, 1, 1], [-1, -1, -1]])
    scores, steps = values(T, N, C), [4, 3, 5]
    plus_one = [[1, 3], [2, 2], [3]]
    layer = WarpCTCLossByIndicators()
    compare(layer, scores, (INDICATORS, columns.double()), lambda s: mean_cost(s, plus_one, 0, steps))
    plain = [[0, 2], [1, 1], [2]]
    layer = WarpCTCLossByIndicators(3)
    compare(layer, scores, (INDICATORS, columns.double()), lambda s: mean_cost(s, plain, 3, steps))
    compare(CTCLoss(), scores, (INDICATORS, columns.double()), lambda s: mean_cost(s, plain, 3, steps))
    once = [[0, 2], [1], [2]]
    layer = CTCLoss(preprocess_collapse_repeated=True)
    compare(layer, scores, (INDICATORS, columns.double()), lambda s: mean_cost(s, once, 3, steps))


def test_labels_from_the_last_class_on_are_none():
    columns = torch.tensor([[0, 1, 2], [3, 1, 3], [5, -1, -1], [-1, -1, -1], [-1, -1, -1]])
    scores = values(T, N, C)
    expected = mean_cost(scores.numpy(), [[0], [1, 1], [2]], 3, [4, 3, 5])
    assert run(CTCLoss(), scores, INDICATORS, columns)[0] == pytest.approx(expected)


def test_columns_and_lengths():
    columns = torch.tensor([[1, 1, 2], [2, 1, 0], [3, 0, 1]])
    steps, lengths = torch.tensor([5, 4, 3]), torch.tensor([3, 2, 1])
    sequences = [[1, 2, 3], [1, 1], [2]]
    others = (steps, lengths, columns)
    compare(WarpCTCLossByLengths(), values(T, N, C), others, lambda s: mean_cost(s, sequences, 0, [5, 4, 3]))


def test_files():
    assert round_trip("WarpCTCLoss", blank_index=2) == WarpCTCLoss(2)
    assert round_trip("CtcLoss", alphabet_size=5, time_step=7, blank_label=4) == CtcLoss(5, 7, 4)
    assert round_trip("CTCLoss", blank_index=0) == CTCLoss(0)
    layouts = [type(layer_of("WarpCTCLoss", {"bottom": ["x"] * count})) for count in (2, 3, 4)]
    assert layouts == [WarpCTCLoss, WarpCTCLossByIndicators, WarpCTCLossByLengths]


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [
        ("E103", "`blank_index` is -1", "WarpCTCLoss", {"blank_index": -1}),
        ("E103", "`alphabet_size` must be positive", "CtcLoss", {"time_step": 4}),
        ("E103", "`time_step` must be positive", "CtcLoss", {"alphabet_size": 4}),
        ("E103", "`blank_label` 4 is outside the 4 classes", "CtcLoss",
         {"alphabet_size": 4, "time_step": 2, "blank_label": 4}),
        ("E101", "`output_delay` is supported as 0 only", "CTCLoss", {"output_delay": 1}),
        ("E101", "`ctc_merge_repeated` is supported as true only", "CTCLoss", {"ctc_merge_repeated": False}),
    ],
)  # fmt: skip
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, {"ctc_loss_param": message})


@pytest.mark.parametrize(
    ("text", "layer", "bottoms"),
    [
        (r"expected scores \(time steps, sequences, classes\), got \[5,3\]", WarpCTCLoss(), ((5, 3), (3, 2))),
        (r"expected labels \(3, length\), one row for each sequence, got \[2,4\]", WarpCTCLoss(), ((5, 3, 4), (2, 4))),
        ("`alphabet_size` is 5 for 4 classes", CtcLoss(5, 5), ((5, 3, 4), (3, 2))),
        ("`time_step` 6 exceeds 5 time steps", CtcLoss(4, 6), ((5, 3, 4), (3, 2))),
        (r"expected one column for each sequence, \(5, 3\), got \[4,3\]", CTCLoss(), ((5, 3, 4), (4, 3), (5, 3))),
        (r"lengths \[2\] for 3 sequences", WarpCTCLossByLengths(), ((5, 3, 4), (3,), (2,), (2, 3))),
    ],
)
def test_shapes(text, layer, bottoms):
    with raises("E102", text):
        layer.infer(bottoms, 1)
    assert WarpCTCLoss().infer(((5, UNKNOWN, 4), (3, 2)), 1) == ((),)


def test_labels_that_are_no_class():
    with raises("E301", "label outside 0 to 3: 4"):
        run(WarpCTCLoss(), values(5, 1, 4), torch.tensor([[1, 4]]))
