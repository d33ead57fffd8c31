"""Snapshots read with a schema of BVLC's fields alone: what Caffe itself will find in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import netc.schema
from netc.schema import descriptor, is_bvlc


def bvlc_classes():
    """NetParameter and SolverState of a schema without the forks' fields and values."""
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString((Path(netc.schema.__file__).parent / "caffe.bin").read_bytes())
    (file,) = files.file
    removed = 0
    for message in file.message_type:
        whole = descriptor(f"caffe.{message.name}")
        foreign = [f for f in message.field if not is_bvlc(whole.fields_by_name[f.name])]
        removed += len(foreign)
        for field in foreign:
            message.field.remove(field)
    assert removed > 50
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    made = [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{n}"))
        for n in ("NetParameter", "SolverState")
    ]
    assert "prior_box_param" not in pool.FindMessageTypeByName("caffe.LayerParameter").fields_by_name
    return made


def test_weights_histories_and_iteration_are_written(solver_from):
    net_class, state_class = bvlc_classes()
    solver = solver_from()
    solver.step(3)
    state_path = Path(solver.snapshot())
    state = state_class.FromString(state_path.read_bytes())
    net = net_class.FromString(Path(state.learned_net).read_bytes())
    assert state.iter == 3
    written = [blob for layer in net.layer for blob in layer.blobs]
    assert len(written) == len(solver.net.blobs) == len(state.history)
    names = [layer.type for layer in net.layer for _ in layer.blobs]
    assert names.count("BatchNorm") == 3
    for blob, file, history, kept in zip(solver.net.blobs, written, state.history, solver.state.optimizer.history()):
        assert list(file.shape.dim) == list(history.shape.dim) == list(blob.shape)
        np.testing.assert_array_equal(np.float32(file.data), blob.data.flatten().numpy())
        np.testing.assert_array_equal(np.float32(history.data), kept.flatten().numpy())
