"""Old prototxt files, brought to Caffe 1.0's format on the tree: comments, layout and places survive.

    tree = parse(read_source("train_val.prototxt"))
    found = upgrade_net(tree)            # changes the tree
    print_tree(tree)                     # today's format

What Caffe's own tools do (`src/caffe/util/upgrade_proto.cpp` of BVLC Caffe 1.0) is done here, in the same order:

    v0.py          `layers { layer { ... } }` of 2013, padding layers
    v1.py          `layers` with types from an enum; files that mix them with `layer`
    transforms.py  `scale`, `mean_file`, `crop_size` and `mirror` beside a source
    inputs.py      `input`, `input_shape`, `input_dim`
    batch_norm.py  learning rates of BatchNorm's statistics
    solver.py      `solver_type`
    deprecated.py  old names that Caffe still reads: only told of

Codes, each reported once with the number of its places:

    W030  V0 layers                      E030  a solver with `type` and `solver_type`
    W031  V1 layers                      E031  inputs and their shapes do not agree in number
    W032  V1 and V2 mixed: repaired      E032  a padding layer that cannot be folded into its reader
    W033  inputs of a net
    W034  transforms beside a source: moved
    W035  learning rates of BatchNorm
    W036  `solver_type`
    W037  an old name that is still read
    W038  a field that Caffe does not read here
"""

from __future__ import annotations

from netc.diagnostics import Report
from netc.frontends.caffe.upgrade import batch_norm, deprecated, inputs, transforms, v0, v1
from netc.frontends.caffe.upgrade.edits import word
from netc.frontends.caffe.upgrade.findings import Findings
from netc.frontends.caffe.upgrade.solver import is_solver_tree, upgrade_settings
from netc.text import Message, Scalar, Tree

__all__ = ["is_solver_tree", "upgrade_net", "upgrade_solver", "upgrade_tree"]

_LOOKED_AT = frozenset(("type", *v1.SPEC, *deprecated.RENAMED, *transforms.SOURCES))
_NETS = ("net_param", "train_net_param", "test_net_param")


def upgrade_tree(tree: Tree) -> Report:
    """Bring a net or a solver, whichever its fields speak of, to today's format."""
    return upgrade_solver(tree) if is_solver_tree(tree.root) else upgrade_net(tree)


def upgrade_net(tree: Tree) -> Report:
    """Bring a net to today's format, in place; the report tells of each kind of change once.

    A net in today's format is left as it is, so upgrading twice changes nothing more. Errors (E03x) are in the report
    too.
    """
    findings = Findings()
    _upgrade(tree.root, findings)
    return findings.report()


def upgrade_solver(tree: Tree) -> Report:
    """Bring a solver, and the nets that stand in it, to today's format, as `upgrade_net`."""
    findings = Findings()
    upgrade_settings(tree.root, findings)
    for name in _NETS:
        for net in tree.root.messages(name):
            _upgrade(net, findings)
    return findings.report()


def _upgrade(root: Message, findings: Findings) -> None:
    names = {field.name for field in root.fields}
    if "layer" in names:
        for layer in root.messages("layer"):
            _look(layer, findings)
    if "layers" in names:
        _upgrade_layers(root, findings)
    if "input" in names:
        inputs.upgrade_inputs(root, findings)


def _upgrade_layers(root: Message, findings: Findings) -> None:
    """The `layers` of a net, V0 or V1."""
    first = v0.upgrade_layers(root, findings) if v0.is_old(root) else frozenset()
    layers = root.messages("layers")
    v1.upgrade_layers(root, first, findings)
    for layer in layers:
        transforms.upgrade_layer(layer, findings)
        _look(layer, findings)


def _look(layer: Message, findings: Findings) -> None:
    """One layer of today's format: nearly all files consist of them, so its fields are gone through once."""
    kind, mixed = "", False
    told: list[tuple[str, Message]] = []
    for field in layer.fields:
        name = field.name
        if name in _LOOKED_AT and field.values:
            value = field.values[0]
            if name == "type":
                kind = word(value) or ""
                mixed = mixed or not (isinstance(value, Scalar) and value.is_string)
            elif name in v1.SPEC:
                mixed = mixed or isinstance(value, Scalar)
            elif isinstance(value, Message):
                told.append((name, value))
    if mixed:
        v1.upgrade_layer(layer, findings)
    if kind in ("BatchNorm", "BATCH_NORM"):
        batch_norm.upgrade_layer(layer, findings)
    for name, message in told:
        _tell(kind, name, message, findings)


def _tell(kind: str, name: str, message: Message, findings: Findings) -> None:
    """Of fields in the parameters of a layer that stay as they are."""
    if name in deprecated.RENAMED:
        deprecated.find_deprecated(name, message, findings)
    elif name in transforms.SOURCES and transforms.source_of(kind) == name:
        transforms.find_unread(name, message, findings)
