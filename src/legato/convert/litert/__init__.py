"""LiteRT bundles: the graphs of the published layout, translated to TFLite models without TensorFlow or torch."""
