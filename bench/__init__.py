"""Measurements that are too slow, too large or too noisy for a test (see `bench/README.md`)."""
