"""Deepgram's interfaces: live and recorded audio."""

from fastapi import APIRouter

from legato.serve.deepgram import files, live

router = APIRouter()
for part in (live, files):
    router.include_router(part.router)
