"""`from netc.pycaffe.proto import caffe_pb2`: Caffe's messages."""

from netc.pycaffe.proto import caffe_pb2

__all__ = ["caffe_pb2"]
