"""What a solver is asked for while it runs, and what signals ask for."""

import os
import signal
import threading
from pathlib import Path

import pytest

from netc import train
from netc.training.log import events
from netc.training.log.caffe_log import lines
from netc.training.solver.signals import Request, Requests, deferred_signals, requests_of_signals
from tests.training.conftest import SOLVER


def asking(*requests):
    """A function that returns these requests one by one, then none."""
    left = list(requests)
    return lambda: left.pop(0) if left else Request.NONE


NONE, STOP, SNAPSHOT = Request.NONE, Request.STOP, Request.SNAPSHOT


def texts(solver):
    return [text for event in solver.events for _, text in lines(event)]


def test_a_stop_ends_the_run_with_a_snapshot_and_nothing_else(solver_from):
    solver = solver_from("display: 3 test_iter: 1 test_interval: 3 test_initialization: false")
    solver.state.requested = asking(NONE, NONE, STOP)
    solver.solve()
    assert solver.iteration == 3
    assert Path("small_iter_3.solverstate").exists()
    said = texts(solver)
    assert said[-1] == "Optimization stopped early."
    assert not [text for text in said if "Iteration 3" in text], "no display and no test after the stop, as in Caffe"


def test_a_requested_snapshot_does_not_end_the_run(solver_from):
    solver = solver_from("snapshot_after_train: false")
    solver.state.requested = asking(NONE, SNAPSHOT)
    solver.solve()
    assert solver.iteration == 8
    assert [path.name for path in Path().glob("*.solverstate")] == ["small_iter_2.solverstate"]
    assert texts(solver)[-1] == "Optimization Done."


def test_a_stop_interrupts_a_test(solver_from):
    solver = solver_from("test_iter: 5 test_iter: 5 test_interval: 2 test_initialization: false")
    solver.state.requested = asking(NONE, NONE, NONE, STOP)
    solver.solve()
    assert solver.iteration == 2
    assert [e for e in solver.events if isinstance(e, events.TestInterrupted)] == [events.TestInterrupted(2, 0)]
    assert not [e for e in solver.events if isinstance(e, events.TestFinished)]
    assert texts(solver)[-4:] == [
        "Test interrupted.",
        "Snapshotting to binary proto file small_iter_2.caffemodel",
        "Snapshotting solver state to binary proto file small_iter_2.solverstate",
        "Optimization stopped early.",
    ]


def test_a_snapshot_requested_in_a_test_is_written_after_it(solver_from):
    solver = solver_from("test_iter: 3 test_interval: 4 snapshot_after_train: false netc_param { ema_decay: 0.9 }")
    solver.state.requested = asking(NONE, SNAPSHOT)
    solver.step(1)
    kinds = [type(e).__name__ for e in solver.events if isinstance(e, (events.TestFinished, events.SnapshotStarted))]
    assert kinds == ["TestFinished", *["SnapshotStarted"] * 3]


def test_a_stopped_run_can_continue(solver_from):
    solver = solver_from("snapshot_after_train: false")
    solver.state.requested = asking(STOP)
    solver.solve()
    solver.solve()
    assert solver.iteration == 8


def test_requests_are_returned_once_and_hangups_first():
    requests = Requests({signal.SIGHUP: SNAPSHOT, signal.SIGINT: STOP})
    requests.note(signal.SIGINT)
    requests.note(signal.SIGHUP)
    assert [requests() for _ in range(3)] == [SNAPSHOT, STOP, NONE]


def test_a_second_interrupt_interrupts_at_once():
    requests = Requests({signal.SIGINT: STOP})
    requests.note(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        requests.note(signal.SIGINT)
    ignoring = Requests({signal.SIGINT: NONE})
    ignoring.note(signal.SIGINT)
    ignoring.note(signal.SIGINT)


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    with requests_of_signals(STOP, SNAPSHOT) as requests:
        signal.raise_signal(signal.SIGHUP)
        assert requests() is SNAPSHOT
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)) == before
    with requests_of_signals(STOP, SNAPSHOT):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before[0]


def test_a_thread_trains_without_signals(work):
    failed = []

    def run():
        try:
            train(SOLVER_FILE, iterations=1, sigint_effect="stop")
        except Exception as error:
            failed.append(error)

    (work / SOLVER_FILE).write_text(SOLVER)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failed
    assert (work / "small_iter_1.solverstate").exists()


SOLVER_FILE = "solver.prototxt"


@pytest.mark.parametrize(
    ("number", "effects", "last", "end"),
    [
        (signal.SIGINT, {"sigint_effect": "stop"}, 2, "Optimization stopped early."),
        (signal.SIGINT, {"sigint_effect": "snapshot"}, 8, "Optimization Done."),
        (signal.SIGHUP, {"sighup_effect": "snapshot"}, 8, "Optimization Done."),
        (signal.SIGHUP, {"sighup_effect": "stop"}, 2, "Optimization stopped early."),
        (signal.SIGINT, {"sighup_effect": "none"}, 8, "Optimization Done."),
    ],
)
def test_effects_of_signals(work, number, effects, last, end):
    (work / SOLVER_FILE).write_text(SOLVER)
    heard = []

    def listener(event):
        heard.append(event)
        if isinstance(event, events.IterationFinished) and event.iteration == 2:
            os.kill(os.getpid(), number)

    solver = train(SOLVER_FILE, listener=listener, **effects)
    assert solver.iteration == last
    assert end in [text for event in heard for _, text in lines(event)]
    at_two = (work / "small_iter_2.solverstate").exists()
    assert at_two == (last == 2 or "snapshot" in effects.values())


def test_without_effects_handlers_are_unchanged(work):
    """The handler is set here because a shell's background jobs ignore SIGINT."""
    (work / SOLVER_FILE).write_text(SOLVER)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def listener(event):
        if isinstance(event, events.IterationFinished):
            signal.raise_signal(signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            train(SOLVER_FILE, listener=listener)
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigterm_snapshots_and_stops(work):
    (work / SOLVER_FILE).write_text(SOLVER + "snapshot_after_train: false")
    before = signal.getsignal(signal.SIGTERM)

    def listener(event):
        if isinstance(event, events.IterationFinished) and event.iteration == 2:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

    solver = train(SOLVER_FILE, listener=listener, sigterm_effect="snapshot-and-stop")
    assert solver.iteration == 2
    assert (work / "small_iter_2.solverstate").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_is_handled_only_on_request():
    before = signal.getsignal(signal.SIGTERM)
    with requests_of_signals(STOP, SNAPSHOT):
        assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("signals", [[signal.SIGINT] * 3, [signal.SIGTERM, signal.SIGINT], [signal.SIGHUP] * 2])
def test_signals_within_a_snapshot_take_effect_after_it(work, signals):
    """Twice Ctrl-C interrupts at once, but not in the middle of a snapshot."""
    (work / SOLVER_FILE).write_text(SOLVER + "snapshot: 2")
    raised = []

    def listener(event):
        if isinstance(event, events.SnapshotStarted) and not raised:
            raised.append(event.iteration)
            for number in signals:
                signal.raise_signal(number)

    effects = {"sigint_effect": "stop", "sighup_effect": "stop", "sigterm_effect": "stop"}
    solver = train(SOLVER_FILE, listener=listener, **effects)
    assert raised == [2]
    assert solver.iteration == 3
    assert (work / "small_iter_2.solverstate").exists()


def test_deferred_signals_are_raised_at_the_end():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    reached = []
    try:
        with pytest.raises(KeyboardInterrupt), deferred_signals():  # noqa: PT012
            signal.raise_signal(signal.SIGINT)
            reached.append(1)
            raise ValueError("the body fails as well")
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == [1]


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
