"""The checks that limits are made of, by what they look at."""
