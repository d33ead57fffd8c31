"""Text and speech layers as .py and ONNX."""

import pytest

from tests.exporters.layer_files import exports

pytest.importorskip("onnxruntime")
FILLED = "weight_filler { type: 'xavier' } bias_filler { type: 'uniform' min: -0.2 max: 0.2 }"
LSTM = f"lstm_param {{ num_output: 4 {FILLED} }}"


@pytest.mark.parametrize(
    ("kind", "first", "second", "text"),
    [
        ("Transpose", (2, 3, 5), (4, 3, 5), "transpose_param { dim: 1 dim: 0 dim: 2 }"),
        ("Reverse", (2, 3, 5), (4, 3, 5), "reverse_param { axis: 1 }"),
        ("Reverse", (2, 3, 5), (4, 3, 5), ""),
        ("Lstm", (4, 2, 3), (7, 2, 3), LSTM),
        ("Lstm", (4, 2, 3, 2), (3, 2, 3, 2), LSTM),
    ],
)
def test_by_a_rule(tmp_path, kind, first, second, text):
    exports(tmp_path, [first], [second], type=kind, text=text)


@pytest.mark.slow
def test_lstm_with_markers(tmp_path):
    exports(tmp_path, [(4, 1, 3), (4,)], type="Lstm", below={1: 2}, text=LSTM)


@pytest.mark.slow
def test_reverse_time(tmp_path):
    exports(tmp_path, [(4, 2, 3), (2,)], type="ReverseTime", below={1: 5})


def test_continuation_indicator(tmp_path):
    exports(
        tmp_path,
        [(2, 3)],
        type="ContinuationIndicator",
        text="continuation_indicator_param { time_step: 3 batch_size: 2 }",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "shapes", "below"),
    [("CTCGreedyDecoder", [(6, 2, 4)], {}), ("LabelsequenceAccuracy", [(2, 6, 4), (2, 3)], {1: 4})],
)
def test_labels(tmp_path, kind, shapes, below):
    exports(tmp_path, shapes, type=kind, below=below)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "use_BC: true"])
def test_dense_block(tmp_path, more):
    text = f"denseblock_param {{ numTransition: 2 growthRate: 3 Filter_Filler {{ type: 'xavier' }} {more} }}"
    exports(tmp_path, [(2, 4, 5, 6)], type="DenseBlock", text=text)
