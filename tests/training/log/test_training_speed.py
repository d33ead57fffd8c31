"""The speed of a run, and the remaining time."""

import pytest

from netc.training.log import events
from netc.training.log.training_speed import TrainingSpeed, format_duration


def test_speed_over_the_last_seconds():
    now = [100.0]
    speed = TrainingSpeed(events.RunStarted("net", "fixed", 50, 1050, 32), now=lambda: now[0])
    assert (speed.iterations_per_second, speed.seconds_left) == (0.0, None)
    for iteration in range(51, 71):  # ten a second, then two a second
        now[0] += 0.1 if iteration <= 60 else 0.5
        speed.update(iteration)
    assert 2.0 <= speed.iterations_per_second < 2.3
    assert speed.images_per_second == pytest.approx(32 * speed.iterations_per_second)
    assert speed.seconds_left == pytest.approx(980 / speed.iterations_per_second)


@pytest.mark.parametrize(
    ("images", "seconds", "text"),
    [
        (0, 1.0, "10 iter/s, 0:00:09 left"),
        (256, 1.0, "10 iter/s, 2,560 images/s, 0:00:09 left"),
        (64, 40.0, "4 s/iter, 16 images/s, 0:06:00 left"),
    ],
)
def test_text(images, seconds, text):
    now = iter([0.0, seconds])
    speed = TrainingSpeed(events.RunStarted("net", "fixed", 0, 100, images), now=now.__next__)
    speed.update(10)
    assert str(speed) == text


def test_durations():
    assert [format_duration(seconds) for seconds in (0.4, 59.6, 3661, 172800)] == [
        "0:00:00",
        "0:01:00",
        "1:01:01",
        "2 days 0:00:00",
    ]
