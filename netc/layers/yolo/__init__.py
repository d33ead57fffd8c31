"""Layers of the ports of darknet's detectors to Caffe."""
