"""Snapshots of a solver: written, found and removed, in Caffe's formats and netc's sidecar."""
