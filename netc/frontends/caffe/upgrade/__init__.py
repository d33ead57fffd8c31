"""Upgrades old prototxt files to the format of Caffe 1.0; works on the tree, which keeps comments and positions.

    tree = parse(read_source("train_val.prototxt"))
    report = upgrade_net(tree)           # modifies the tree
    print_tree(tree)                     # the format of Caffe 1.0

The steps and their order are those of Caffe's tools (`src/caffe/util/upgrade_proto.cpp` of BVLC Caffe 1.0):

    v0.py          `layers { layer { ... } }` of 2013, padding layers
    v1.py          `layers` with types from an enum; files that mix them with `layer`
    transforms.py  `scale`, `mean_file`, `crop_size` and `mirror` next to a source
    inputs.py      `input`, `input_shape`, `input_dim`
    fusion.py      layers that BVLC's opencl branch fused: `fuse_type`
    batch_norm.py  learning rates of BatchNorm's statistics
    solver.py      `solver_type`
    deprecated.py  old names that Caffe still reads: only reported
    edits.py       changes of trees shared by these steps
    findings.py    one diagnostic per kind of change

Codes, each reported once with the number of occurrences:

    W030  V0 layers                      E030  a solver with `type` and `solver_type`
    W031  V1 layers                      E031  the numbers of inputs and shapes differ
    W032  V1 and V2 mixed: repaired      E032  a padding layer that cannot be folded into its reader
    W033  inputs of a net
    W034  transforms next to a source: moved
    W035  learning rates of BatchNorm
    W036  `solver_type`
    W037  an old name that is still read
    W038  a field that Caffe does not read here
    W040  fused layers: read as separate ones
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.frontends.caffe.upgrade import batch_norm, deprecated, fusion, inputs, transforms, v0, v1
from netc.frontends.caffe.upgrade.edits import word
from netc.frontends.caffe.upgrade.findings import Findings
from netc.frontends.caffe.upgrade.solver import is_solver_tree, upgrade_settings
from netc.text import Message, Scalar, Tree

if TYPE_CHECKING:
    from netc.diagnostics import Report

__all__ = ["is_solver_tree", "upgrade_net", "upgrade_solver", "upgrade_tree"]

_CHECKED = frozenset(("type", *v1.SPEC, *deprecated.RENAMED, *transforms.SOURCES, *fusion.OWNERS, "transform_param"))
_NETS = ("net_param", "train_net_param", "test_net_param")


def upgrade_tree(tree: Tree) -> Report:
    """Upgrade a net or a solver, depending on its fields, to the format of Caffe 1.0."""
    return upgrade_solver(tree) if is_solver_tree(tree.root) else upgrade_net(tree)


def upgrade_net(tree: Tree) -> Report:
    """Upgrade a net to the format of Caffe 1.0 in place; return one warning per kind of change, and errors (E03x).

    Idempotent: a net in the format of Caffe 1.0 is not changed.
    """
    findings = Findings()
    _upgrade(tree.root, findings)
    return findings.report()


def upgrade_solver(tree: Tree) -> Report:
    """Upgrade a solver and the nets embedded in it; see `upgrade_net`."""
    findings = Findings()
    upgrade_settings(tree.root, findings)
    for name in _NETS:
        for net in tree.root.messages(name):
            _upgrade(net, findings)
    return findings.report()


def _upgrade(root: Message, findings: Findings) -> None:
    names = {field.name for field in root.fields}
    fused: list[Message] = []
    if "layer" in names:
        fused += [layer for layer in root.messages("layer") if _upgrade_layer(layer, findings)]
    if "layers" in names:
        fused += _upgrade_layers(root, findings)
    if fused:
        fusion.split_layers(root, fused, findings)
    if "input" in names:
        inputs.upgrade_inputs(root, findings)


def _upgrade_layers(root: Message, findings: Findings) -> list[Message]:
    """Upgrade the `layers` of a net, V0 or V1; return those that others are fused into."""
    first = v0.upgrade_layers(root, findings) if v0.is_old(root) else frozenset()
    layers = root.messages("layers")
    v1.upgrade_layers(root, first, findings)
    for layer in layers:
        transforms.upgrade_layer(layer, findings)
    return [layer for layer in layers if _upgrade_layer(layer, findings)]


def _upgrade_layer(layer: Message, findings: Findings) -> bool:
    """Upgrade a `layer`; return whether others are fused into it.

    Nearly all files consist of these, so this iterates over the fields only once.
    """
    kind, mixed = "", False
    parameters: list[tuple[str, Message]] = []
    for field in layer.fields:
        name = field.name
        if name in _CHECKED and field.values:
            value = field.values[0]
            if name == "type":
                kind = word(value) or ""
                mixed = mixed or not (isinstance(value, Scalar) and value.is_string)
            elif name in v1.SPEC:
                mixed = mixed or isinstance(value, Scalar)
            elif isinstance(value, Message):
                parameters.append((name, value))
    if mixed:
        v1.upgrade_layer(layer, findings)
    if kind in ("BatchNorm", "BATCH_NORM"):
        batch_norm.upgrade_layer(layer, findings)
    for name, message in parameters:
        _report(kind, name, message, findings)
    return any(name in fusion.OWNERS and fusion.is_fused(message) for name, message in parameters)


def _report(kind: str, name: str, message: Message, findings: Findings) -> None:
    """Report old fields in the parameters of a layer, which are not changed."""
    if name in deprecated.RENAMED:
        deprecated.find_deprecated(name, message, findings)
    elif name in transforms.sources_of(kind):
        transforms.find_unread(name, message, findings)
    elif name == "transform_param" and kind == "WindowData":
        transforms.find_unread_by_windows(message, findings)
