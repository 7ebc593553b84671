"""Evaluation of models: data sets, error rates with confidence intervals, latency and memory, reports."""
