"""Common code of the training programs: audio, model, losses, decoding."""
