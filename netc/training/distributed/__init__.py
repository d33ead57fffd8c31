"""Several processes that train one net together, over torch.distributed."""
