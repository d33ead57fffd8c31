"""The Python layers of multitask network cascades for instance masks (MNC), beside those of py-faster-rcnn."""
