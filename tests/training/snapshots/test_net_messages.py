from netc.frontends.caffe.read import fields_of
from netc.schema import caffe
from netc.training.snapshots.net_messages import message_of, snapshot_net, text_of
from tests.training.conftest import NET, SOLVER


def test_fields_round_trip_to_the_same_message():
    layer = caffe.LayerParameter(name="é", type="Pooling", loss_weight=[0.5, 2], include=[{"phase": 1, "stage": ["a"]}])
    layer.pooling_param.pool = 1
    layer.transform_param.SetInParent()
    assert message_of("caffe.LayerParameter", fields_of(layer)) == layer


def test_a_nets_message_is_its_file_with_the_phase(graph_from):
    net = caffe.NetParameter.FromString(snapshot_net(graph_from(NET.replace('"Data"', '"MemoryData"').replace(
        'data_param { source: "records" batch_size: 6 backend: LMDB }',
        "memory_data_param { batch_size: 6 channels: 2 height: 7 width: 7 }",
    ))))  # fmt: skip
    assert net.name == "small"
    assert {layer.phase for layer in net.layer} == {1}
    assert [layer.type for layer in net.layer][-2:] == ["Accuracy", "SoftmaxWithLoss"]
    assert net.layer[1].param[1].decay_mult == 0
    assert not any(layer.blobs for layer in net.layer)


def test_settings_are_printed_by_field_number(settings_from):
    text = text_of(settings_from(SOLVER))
    names = [line.split(":")[0] for line in text.splitlines()]
    assert names == sorted(names, key=lambda name: caffe.SolverParameter.DESCRIPTOR.fields_by_name[name].number)
    assert "base_lr: 0.05\n" in text
