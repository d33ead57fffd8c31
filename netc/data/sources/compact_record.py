"""CompactData: records that are a label and an encoded image (ChenglongChen's caffe-windows)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from netc.data.sources.database import DatumRecords
from netc.data.sources.datum import Datum

if TYPE_CHECKING:
    from netc.data.records import RecordBatch

LABEL = struct.Struct("<i")


class CompactRecords(DatumRecords):
    """The images and labels of a database. See `Records`."""

    def parse(self, value: Any) -> tuple[Datum, Any]:
        """See DatumRecords. Raises ValueError for a record without an image."""
        view = memoryview(value)
        if len(view) <= LABEL.size:
            raise ValueError(f"{len(view)} bytes are not a label and an image")
        (label,) = LABEL.unpack_from(view)
        return Datum(data=view[LABEL.size :], encoded=True, start=LABEL.size), label

    def read_many(self, indices: list[int]) -> RecordBatch | None:
        """None: images are decoded one by one."""
        return None
