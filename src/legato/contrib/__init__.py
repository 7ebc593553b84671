"""Integrations with large frameworks, outside of the core."""
