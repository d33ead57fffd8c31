"""Events and listeners."""

from netc.training.log import events


def test_an_event_reaches_all_listeners():
    first, second = [], []
    events.fan_out([first.append, second.append])(events.RunFinished(3))
    assert first == second == [events.RunFinished(3)]
