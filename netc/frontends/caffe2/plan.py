"""A PlanDef, as text or binary: the nets of a run, and the steps that run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, Report, Source, did_you_mean, visible
from netc.frontends.caffe2.definition import Caffe2Net
from netc.frontends.caffe2.reading import content_of_message, read_binary
from netc.frontends.definition import NetDefinition, PlanDefinition, PlanStep
from netc.schema import DecodeError, caffe2
from netc.text import parse_with_errors, to_message
from netc.weights.wire import LENGTH, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNSUPPORTED = ("criteria_network", "report_net", "run_every_ms", "create_workspace")
"""Fields of a step that change what it computes, or when."""


class Caffe2Plan(PlanDefinition):
    """A PlanDef."""

    def __init__(
        self, nets: Sequence[tuple[str, Caffe2Net]], steps: Sequence[Any], source: Source, report: Report
    ) -> None:
        self.nets, self.source, self.report = dict(nets), source, report
        for name in {name for name, _ in nets if [other for other, _ in nets].count(name) > 1}:
            report.add(Diagnostic("E100", f"the plan has several nets of the name `{visible(name)}`"))
        for net in self.nets.values():
            report.extend(net.report.diagnostics)
        self.steps = tuple(_step(step, self.nets, report) for step in steps)


def read_plan_text(source: Source) -> Caffe2Plan:
    """Read a plan in text format; errors are in the report."""
    tree, errors = parse_with_errors(source)
    if errors:
        return Caffe2Plan((), (), source, Report(errors))
    found, problems = to_message(tree, "caffe2.PlanDef")
    message: Any = found
    nodes = tree.root.messages("network")
    contents = [content_of_message(net, nodes[index], Report()) for index, net in enumerate(message.network)]
    nets = [(content.name, Caffe2Net(content, source)) for content in contents]
    return Caffe2Plan(nets, message.execution_step, source, Report(problems))


def read_plan_binary(wire: Wire) -> Caffe2Plan:
    """Read a binary plan. Raises NetcError E403 or E405 for a damaged one."""
    source, rest, nets = Source(wire.name, ""), bytearray(), []
    for part in wire.fields(0, len(wire.data)):
        if (part.number, part.wire) == (2, LENGTH):
            content = read_binary(wire, part.at, part.end)
            nets.append((content.name, Caffe2Net(content, source)))
        else:
            rest += wire.data[part.start : part.end]
    message: Any = caffe2.PlanDef()
    try:
        message.MergeFromString(bytes(rest))
    except DecodeError:
        wire.fail("E403", "the steps of the plan are damaged")
    return Caffe2Plan(nets, message.execution_step, source, Report())


def _step(message: Any, nets: Mapping[str, NetDefinition], report: Report) -> PlanStep:
    report.extend(_problems(message, nets))
    stop = message.should_stop_blob
    counted = message.HasField("num_iter")
    return PlanStep(
        message.name,
        tuple(message.network),
        tuple(_step(inner, nets, report) for inner in message.substep),
        message.num_iter if counted else None if stop else 1,
        stop,
        message.only_once,
    )


def _problems(message: Any, nets: Mapping[str, NetDefinition]) -> Iterator[Diagnostic]:
    """The errors of a step, without those of its steps (`plan_executor.cc`)."""
    step = f"step `{visible(message.name)}`" if message.name else "a step without a name"
    for name in message.network:
        if name not in nets:
            help = did_you_mean(name, nets)
            yield Diagnostic("E100", f"{step} runs the net `{visible(name)}`, which the plan does not have", help=help)
    if message.network and message.substep:
        yield Diagnostic("E100", f"{step} has both nets and steps")
    if message.should_stop_blob and message.HasField("num_iter"):
        yield Diagnostic("E100", f"{step} has both `num_iter` and `should_stop_blob`")
    unsupported = [name for name in UNSUPPORTED if getattr(message, name)]
    if message.num_concurrent_instances > 1:
        unsupported.append("num_concurrent_instances")
    for name in unsupported:
        yield Diagnostic("E106", f"`{name}` of {step} is not supported: steps run one after the other")
