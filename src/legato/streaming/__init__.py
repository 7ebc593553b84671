"""A stream: samples in, events out, with all of its state in one object."""
