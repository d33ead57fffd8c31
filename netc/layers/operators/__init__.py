"""Operators that Caffe2 has and Caffe has not, one file per family; see `layers/_operators.py`."""
