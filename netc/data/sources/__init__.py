"""Sources of batches by kind of file: databases, image lists, windows, HDF5."""
