"""Small models on both sides of what the parser's code asserts."""
