"""Replays of real data and real bandwidth traces through the controller and the pipeline, in simulated time."""
