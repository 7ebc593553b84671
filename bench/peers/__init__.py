"""The same work by Legato and by peers: environments, models, drivers, comparison (see `bench/README.md`)."""
