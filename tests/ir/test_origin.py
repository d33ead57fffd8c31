"""Where nodes come from, as notes name it."""

from netc.ir.origin import NO_FILE


def test_a_layer_without_a_name_is_named_as_that():
    assert NO_FILE.note("data[1]") == "in a layer without a name, bottoms: data[1]"
