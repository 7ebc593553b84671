"""A small streaming recognizer of spoken numbers in six languages."""
