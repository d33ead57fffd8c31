"""Records that join the learning rate and the loss of an iteration."""

from netc.training.log import events
from netc.training.log.iteration_records import IterationRecord, IterationRecorder


def test_a_late_loss_completes_its_record():
    records = []
    recorder = IterationRecorder(records.append)
    for event in (
        events.IterationFinished(1, 0.5),
        events.IterationFinished(2, 0.25),
        events.LossMeasured(0, 7.0),
        events.LossMeasured(1, 6.0),
        events.LossMeasured(2, 5.0),
    ):
        recorder(event)
    assert records == [IterationRecord(0, 7.0, 0.5), IterationRecord(1, 6.0, 0.25)]
    recorder(events.IterationFinished(3, 0.125))
    assert records[2:] == [IterationRecord(2, 5.0, 0.125)]
