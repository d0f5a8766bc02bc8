"""`coachc check`: whether a bundle is its model, and whether a model can be cut."""
