"""Opens a database of Datum or AnnotatedDatum records, whichever it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.data.sources.annotated_datum import AnnotatedRecords
from netc.data.sources.database import DatumRecords
from netc.data.sources.datum import is_annotated
from netc.data.stores import open_store
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from pathlib import Path

    from netc.data.stores.store import Store


def open_records(path: Path | str) -> DatumRecords:
    """The records of a database of either kind, images decoded as they are.

    Raises NetcError E501, E507, E502 for an empty one.
    """
    store = open_store(path)
    try:
        annotated = _begins_annotated(store)
    except NetcError:
        store.close()
        raise
    return AnnotatedRecords(store) if annotated else DatumRecords(store)


def _begins_annotated(store: Store) -> bool:
    with store.reading() as get:
        first = next(store.keys(), None)
        return first is not None and is_annotated(get(first) or b"")
