"""Layers of networks for optical flow and disparity."""
