"""`coachc check`: whether a bundle is its model, whether a model can be cut, and whether targets build them."""
