"""Deepgram's interfaces: live and recorded audio."""
