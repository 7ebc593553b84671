"""Deepgram's interfaces: live audio (with endpoints, and with turns), recorded audio, and short-lived keys."""

from fastapi import APIRouter

from legato.serve.deepgram import files, flux, grant, live

router = APIRouter()
for part in (live, flux, files, grant):
    router.include_router(part.router)
