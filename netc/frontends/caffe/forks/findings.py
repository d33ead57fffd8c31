"""Diagnostics about fields of forks: explained, or dropped if the field has no effect."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from netc.frontends.caffe.forks.fields import KNOWN, called
from netc.schema import LISTED, caffe, descriptor, private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from netc.diagnostics import Diagnostic

MOST_OWNERS = 3
"""A field name that occurs in more messages than this is too common for a hint."""


def explained(found: Iterable[Diagnostic], strict: bool = False) -> list[Diagnostic]:
    """Process the diagnostics of `to_message` that concern fields of forks.

    Fields without an effect are dropped, and so are unsupported ones, which the layer that reads them reports as an
    error. With `strict`, everything that is not part of BVLC's schema is W001. An unknown field gets a note that names
    the messages that have it.
    """
    return [explained_one for one in found for explained_one in _explain(one, strict)]


def _explain(found: Diagnostic, strict: bool) -> Iterator[Diagnostic]:
    message, _, name = (found.field or "").partition(".")
    if found.code == "W001":
        yield replace(found, notes=(*_elsewhere(message, name), *found.notes), field=None)
    elif found.code == "W002":
        yield from _foreign(found, message, name, strict)
    elif found.code in ("W003", "W004"):
        yield replace(found, field=None)
    else:
        yield found


def _foreign(found: Diagnostic, message: str, name: str, strict: bool) -> Iterator[Diagnostic]:
    known = KNOWN.get((message, name))
    if strict and not _wholly_private(message):
        note = (f"it is specific to {called(known.fork)}",) if known else ()
        yield replace(found, code="W001", notes=(*note, *found.notes), field=None)
    elif known and known.meaning and not strict:
        what = f"a list of `{name.removesuffix(LISTED)}`" if name.endswith(LISTED) else f"`{name}`"
        yield replace(found, message=f"{what} is specific to {called(known.fork)}: {known.meaning}", field=None)


def _elsewhere(message: str, name: str) -> tuple[str, ...]:
    """A note on the messages that have a field of this name."""
    owners = [owner for owner in _owners().get(name, ()) if owner != message]
    if not 0 < len(owners) <= MOST_OWNERS:
        return ()
    return (f"`{name}` is a field of {' and '.join(f'`{owner}`' for owner in owners)}",)


@cache
def _owners() -> dict[str, list[str]]:
    """The messages with a field of each name."""
    owners: dict[str, list[str]] = {}
    for message in caffe.DESCRIPTOR.message_types_by_name.values():
        for field in message.fields:
            owners.setdefault(field.name, []).append(message.name)
    return owners


@cache
def _wholly_private(message: str) -> bool:
    """Whether a message is specific to a fork, so that the field that contains it has been reported."""
    return "." in message or message not in _messages() or len(private(message)) == len(descriptor(message).fields)


@cache
def _messages() -> frozenset[str]:
    return frozenset(caffe.DESCRIPTOR.message_types_by_name)
