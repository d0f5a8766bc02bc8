"""The parts of the online controller: features, scores, centres, memory, precision and drift, each on its own."""
