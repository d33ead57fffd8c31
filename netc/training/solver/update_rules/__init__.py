"""The update rules of Caffe's solver types, one file each, found automatically. Never imports torch by itself."""
