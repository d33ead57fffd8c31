"""What `netc weights` compares, and what is done about shapes that differ."""

import pytest

from netc.conversion import surgery
from netc.conversion.convert import convert
from netc.conversion.models import net_of, open_net
from netc.conversion.weights_report import list_weights
from netc.conversion.writers import write_caffe
from netc.diagnostics import NetcError
from tests.conversion.nets import close, inputs_of, write


def test_a_listing_compares_with_a_net(mixed, tmp_path):
    prototxt, weights, _ = mixed
    assert list_weights(weights, prototxt).fits
    changed = write(tmp_path, prototxt.read_text().replace("num_output: 5", "num_output: 6"), "changed.prototxt")
    found = list_weights(weights, changed)
    assert not found.fits
    assert {(row.layer, row.verdict) for row in found.rows if row.verdict != "fits"} == {("fc", "differs")}
    renamed = write(tmp_path, prototxt.read_text().replace('name: "fc"', 'name: "fc_new"'), "renamed.prototxt")
    verdicts = {row.layer: row.verdict for row in list_weights(weights, renamed).rows}
    assert verdicts["fc"] == "only in the file"
    assert verdicts["fc_new"] == "only in the net"


def test_equal_counts_are_offered_as_a_reshape(mixed, tmp_path):
    _, weights, model = mixed
    sliding, _ = write_caffe(surgery.fc_to_conv(model), tmp_path / "sliding.prototxt")
    assert {row.verdict for row in list_weights(weights, sliding).rows if row.layer == "fc"} == {"fits", "equal counts"}
    with pytest.raises(NetcError) as caught:
        open_net(sliding, weights)
    assert "`--reshape`" in caught.value.diagnostics[0].help
    feed = inputs_of(model, 2)
    expected = net_of(model).run(feed)["prob"]
    found = open_net(sliding, weights, misfits="reshape").run(feed)["prob"]
    assert close(expected, found.reshape(expected.shape))


def test_allow_mismatch_lists_the_layers(mixed, tmp_path):
    prototxt, weights, _ = mixed
    changed = write(tmp_path, prototxt.read_text().replace("num_output: 5", "num_output: 6"), "changed.prototxt")
    assert open_net(changed, weights, misfits="skip").fc.weight.shape[0] == 6
    renamed = write(tmp_path, prototxt.read_text().replace('name: "fc"', 'name: "fc_new"'), "renamed.prototxt")
    done = convert(renamed, weights, to="pt", output=tmp_path / "out")
    assert [found.code for found in done.warnings] == ["W802"]
    assert "`fc_new`" in done.warnings[0].notes[0]
