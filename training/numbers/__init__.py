"""Recipe: a small streaming recogniser of spoken numbers in six languages."""
