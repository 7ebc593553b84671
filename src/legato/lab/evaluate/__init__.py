"""Judging models: data sets, normalisers, error rates with intervals, reports. Not imported at run time."""
