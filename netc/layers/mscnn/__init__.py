"""Layers of MS-CNN, of its panoramic port and of Cascade R-CNN."""
