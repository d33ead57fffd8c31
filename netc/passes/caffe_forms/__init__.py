"""Operators of Caffe2 in terms of Caffe's layers: one function for each class of operators that Caffe can say.

A form is a chain of layers; the first reads the operator's inputs that are not parameters, each following one the
layer before it. An operator without a form, or whose form returns None, is one that Caffe cannot say.
"""

from netc.passes.caffe_forms import functions, shapes, windows
from netc.passes.caffe_forms.form import FORMS, KEEPING, ChainLayer, Parts, Use

__all__ = ["FORMS", "KEEPING", "ChainLayer", "Parts", "Use", "functions", "shapes", "windows"]
