"""The same work side by side with peers: environments, models, drivers, comparison (see `bench/README.md`)."""
