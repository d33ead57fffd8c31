"""What writers of files ask of the front ends: the dialects, their fields, and messages in their numbers."""

from __future__ import annotations

from netc.frontends.caffe.binary.dialects import BVLC, Dialect, named
from netc.frontends.caffe.binary.encode import dialects_with, encode, has_field

__all__ = ["BVLC", "Dialect", "dialects_with", "encode", "has_field", "named"]
