"""Deepgram's interfaces: live and recorded audio, and short-lived keys."""

from fastapi import APIRouter

from legato.serve.deepgram import files, grant, live

router = APIRouter()
for part in (live, files, grant):
    router.include_router(part.router)
