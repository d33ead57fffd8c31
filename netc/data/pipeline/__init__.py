"""From records to batches on a device: sampling, cropping, augmentation, normalization, prefetching."""
