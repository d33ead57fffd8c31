"""Three-dimensional convolution and pooling."""
