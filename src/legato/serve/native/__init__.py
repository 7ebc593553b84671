"""Legato's own protocol: audio in, events as JSON out."""
