"""Legato on a Ray cluster: the server on every machine, and files in parallel."""
