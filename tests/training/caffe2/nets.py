"""Small training nets as text."""

from __future__ import annotations

from pathlib import Path

from netc.diagnostics import Source

REFERENCE = Path(__file__).parents[2] / "reference" / "caffe2_training"

INIT = """
op { output: "W" type: "GivenTensorFill" arg { name: "shape" ints: 1 ints: 3 } arg { name: "values" floats: 0.1 floats: -0.2 floats: 0.3 } }
op { output: "b" type: "GivenTensorFill" arg { name: "shape" ints: 1 } arg { name: "values" floats: 0.1 } }
op { output: "M" type: "GivenTensorFill" arg { name: "shape" ints: 1 ints: 3 } arg { name: "values" floats: 0 floats: 0 floats: 0 } }
op { output: "it" type: "GivenTensorInt64Fill" arg { name: "shape" ints: 1 } arg { name: "values" ints: 0 } }
op { output: "lock" type: "CreateMutex" }
"""  # noqa: E501

FORWARD = """
op { input: "X" input: "W" input: "b" output: "y" type: "FC" }
op { input: "y" output: "y" type: "Sqr" }
op { input: "y" output: "loss" type: "SumElements" }
"""
BACKWARD = """
op { input: "loss" output: "loss_autogen_grad" type: "ConstantFill" arg { name: "value" f: 1.0 } }
op { input: "y" input: "loss_autogen_grad" output: "y_grad" type: "SumElementsGradient" is_gradient_op: true }
op { input: "y" input: "y_grad" output: "y_grad" type: "SqrGradient" is_gradient_op: true }
op { input: "X" input: "W" input: "y_grad" output: "W_grad" output: "b_grad" output: "X_grad" type: "FCGradient" is_gradient_op: true }
"""  # noqa: E501
COUNT = """
op { input: "lock" input: "it" output: "it" type: "AtomicIter" }
op { input: "it" output: "LR" type: "LearningRate" arg { name: "base_lr" f: 0.1 } arg { name: "policy" s: "exp" } arg { name: "gamma" f: 0.5 } }
"""  # noqa: E501
UPDATE = """
op { input: "W_grad" input: "M" input: "LR" input: "W" output: "W_grad" output: "M" output: "W" type: "MomentumSGDUpdate" arg { name: "momentum" f: 0.9 } }
"""  # noqa: E501
INPUTS = "".join(f'external_input: "{name}" ' for name in ("X", "W", "b", "lock", "it", "M"))


def source(*parts: str, name: str = "train_net.pbtxt") -> Source:
    return Source(name, "\n".join(parts))
