"""Used to write files: the dialects, their fields, and the encoding of messages with their field numbers."""

from __future__ import annotations

from netc.frontends.caffe.binary.dialects import BVLC, Dialect, named
from netc.frontends.caffe.binary.encode import dialects_with, dialects_with_value, encode, has_field, has_value

__all__ = ["BVLC", "Dialect", "dialects_with", "dialects_with_value", "encode", "has_field", "has_value", "named"]
