"""OpenAI's interfaces: transcriptions, Realtime, short-lived keys and models."""

from fastapi import APIRouter

from legato.serve.openai import client_secrets, models, realtime, transcriptions

router = APIRouter()
for part in (transcriptions, realtime, client_secrets, models):
    router.include_router(part.router)
