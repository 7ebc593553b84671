"""The laboratory: evaluation, studies of quantization, benchmarks. Nothing else imports it."""
