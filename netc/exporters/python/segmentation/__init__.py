"""Rules of netc/layers/segmentation."""
