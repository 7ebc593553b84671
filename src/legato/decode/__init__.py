"""RNN-T decoding: greedy and beam search, phrases, n-gram language models, confidence."""
