"""The first axis of a model, open again after everything was decided for one task."""
