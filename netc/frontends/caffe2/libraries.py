"""Operators that were not part of Caffe2 itself: which library registered them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DETECTRON = (
    "GroupSpatialSoftmax PSRoIPool RoIPoolF SampleAs SelectSmoothL1Loss SigmoidCrossEntropyLoss SigmoidFocalLoss "
    "SmoothL1Loss SoftmaxFocalLoss SpatialNarrowAs"
)
_COMMUNICATION = "Allgather Allreduce Barrier Broadcast CreateCommonWorld DestroyCommonWorld Reduce ReduceScatter"
_NCCL = "NCCLAllGather NCCLAllreduce NCCLBroadcast NCCLReduce NCCLReduceScatter"
_NOTES: Mapping[str, str] = {
    **dict.fromkeys(_DETECTRON.split(), "Detectron's library registers it (caffe2_detectron_ops), for GPUs only"),
    **dict.fromkeys(_COMMUNICATION.split(), "Caffe2's contrib/gloo registers it: it communicates between machines"),
    **dict.fromkeys(_NCCL.split(), "Caffe2's contrib/nccl registers it: it communicates between GPUs"),
    "TensorRT": "Caffe2's contrib/tensorrt registers it: it contains an engine for one GPU",
    "ImageInput": "Caffe2's image library registers it: it reads, crops and scales images; feed its outputs",
    "VideoInput": "Caffe2's video library registers it: it reads and crops videos; feed its outputs",
}


def note_of(kind: str) -> str | None:
    """Return what is known of an unknown operator type, None if nothing is.

    >>> note_of("Python:GenerateProposalLabelsOp")
    'it runs a Python function of the program that wrote the net, which is not in the file'
    """
    if kind.partition(":")[0] in ("Python", "PythonDLPack"):
        return "it runs a Python function of the program that wrote the net, which is not in the file"
    return _NOTES.get(kind)
