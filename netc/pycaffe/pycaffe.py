"""The names of Caffe's module `caffe.pycaffe`."""

from netc.pycaffe import io
from netc.pycaffe._caffe import *  # noqa: F403  # all of them, as in Caffe
from netc.pycaffe._caffe import __all__ as _names

__all__ = [*_names, "io"]
