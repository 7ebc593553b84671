"""The server: recognition over HTTP and WebSockets for clients of OpenAI, Deepgram, Wyoming, and Legato's own protocol.

Each interface is a package that speaks one protocol and knows nothing of the others. `core` has what they share: live
streams, files, and the orderly end. Needs the extra `serve`.
"""

from legato.serve.app import create_app
from legato.serve.settings import Settings

__all__ = ["Settings", "create_app"]
