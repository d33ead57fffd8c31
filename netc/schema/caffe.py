"""The messages of proto/caffe.proto, made on first use; by tools/generate_schema.py, do not edit."""

from netc.schema._loader import Package

_package = Package("caffe")
DESCRIPTOR = _package.descriptor
__getattr__ = _package.member
