"""The nets of an exported predictor: a MetaNetDef, in a file of its own or in a minidb that has the parameters too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, Source
from netc.frontends.caffe2.definition import Caffe2Net
from netc.frontends.caffe2.reading import NetContent, read_binary
from netc.weights.meta_net import GLOBAL_INIT, INPUTS, OUTPUTS, PREDICT, PREDICT_INIT, meta_net

if TYPE_CHECKING:
    from pathlib import Path

    from netc.frontends.caffe2.origin import OperatorOrigin
    from netc.weights.wire import Wire


def read_predictor(wire: Wire, kind: str, path: Path) -> Caffe2Net:
    """Read the predict net of a file whose content is `kind`, `minidb` or `meta_net`.

    The weights are in the same file: in the records of a minidb, or in the init nets beside the predict net, without
    operators that read a database, and those that only create inputs and outputs. Raises NetcError E100 for a file of
    several models, E403 or E405 for a damaged one, E806 for one without a predict net.
    """
    meta = meta_net(wire, kind)
    found = meta.net(PREDICT) if meta else None
    if meta is None or found is None:
        help = "pass it as the weights of a net in another file"
        raise NetcError(f"`{path}` does not contain a net that predicts", code="E806", help=help)
    source = Source(str(path), "")
    content = read_binary(wire, *found)
    if kind == "minidb":
        return Caffe2Net(content, source, path)
    created = meta.names(INPUTS) | meta.names(OUTPUTS)
    operators: list[OperatorOrigin] = []
    for key in (GLOBAL_INIT, PREDICT_INIT):
        place = meta.net(key)
        init = read_binary(wire, *place) if place else NetContent()
        operators += [one for one in init.operators if one.type != "Load" and not created.issuperset(one.tops)]
    if not operators:
        return Caffe2Net(content, source)
    outputs = tuple(top for origin in operators for top in origin.tops)
    return Caffe2Net(content, source, path, Caffe2Net(NetContent("init", operators, (), outputs), source))
