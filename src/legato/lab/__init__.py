"""The laboratory: evaluation of models, studies of quantization, benchmarks. Only the command line imports it."""
