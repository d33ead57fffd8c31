"""Writes, finds, restores and deletes snapshots of a solver, in Caffe's formats with netc's sidecar."""
