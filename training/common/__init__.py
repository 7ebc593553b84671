"""What the training recipes share: sound, model, losses, decoding."""
