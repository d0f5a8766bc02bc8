"""What TensorRT takes, release by release, as data, and the check of a model against it."""
