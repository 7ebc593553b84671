"""The server: recognition for clients of OpenAI's and others' interfaces, over HTTP and WebSockets.

    cli/serve.py -> server.py -> application.py -> one module an interface -> live.py, files.py -> Engine

Interfaces speak their protocols and know nothing of each other; `live.py` gives them streams, `service.py` what they
share. Needs the extra `serve`.
"""
