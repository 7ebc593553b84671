"""Legato's own protocol: audio in, events as JSON out."""

from fastapi import APIRouter

from legato.serve.native import choices, files, formats, socket

router = APIRouter()
for part in (choices, socket, files, formats):
    router.include_router(part.router)
