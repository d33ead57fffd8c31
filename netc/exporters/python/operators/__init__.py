"""Operators of Caffe2: the rules of `netc/layers/operators/<file>.py` are in `<file>.py`."""
