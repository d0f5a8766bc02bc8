"""Which partitions the search looks at, and what is proven about the others."""
