"""`coachc keygen`, `sign` and `push`: bundles on their way to the machines that run them."""
