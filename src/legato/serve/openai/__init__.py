"""OpenAI's interfaces: transcriptions, models and Realtime."""
