"""Plain torch of YOLO layers: one file per family, as in `netc/layers/yolo`."""
