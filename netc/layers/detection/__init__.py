"""Layers of detectors: boxes, priors, proposals, regions of interest."""
