"""OpenAI's interfaces: transcriptions, models and Realtime."""

from fastapi import APIRouter

from legato.serve.openai import models, realtime, transcriptions

router = APIRouter()
for part in (transcriptions, realtime, models):
    router.include_router(part.router)
