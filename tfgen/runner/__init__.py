"""What surrounds an experiment: the request, its directory, the results, the environment. No story of its own."""
