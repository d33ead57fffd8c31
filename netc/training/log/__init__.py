"""What a training run reports: events, Caffe's log lines, JSON lines, TensorBoard, parsing and plotting of logs."""
