"""The web page with live captions and files."""

from legato.serve.web.page import router

__all__ = ["router"]
