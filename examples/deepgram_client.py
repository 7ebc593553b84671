"""Stream a WAV file to `legato serve` with Deepgram's client, and print final results.

    python examples/deepgram_client.py talk.wav            needs the package `deepgram-sdk`

LEGATO_URL and DEEPGRAM_API_KEY name another server and its key.
"""

import os
import sys
import threading
import wave
from typing import Any

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment


def main() -> None:
    """Send the file of the command line in pieces of 0.1 s while results are read."""
    url = os.environ.get("LEGATO_URL", "http://127.0.0.1:8000")
    environment = DeepgramClientEnvironment(base=url, production=url.replace("http", "ws", 1), agent="", agent_rest="")
    client = DeepgramClient(api_key=os.environ.get("DEEPGRAM_API_KEY", "none"), environment=environment)
    with wave.open(sys.argv[1]) as file:
        options: dict[str, Any] = {"sample_rate": file.getframerate(), "channels": file.getnchannels()}
        with client.listen.v1.connect(model="nova-3", encoding="linear16", **options) as connection:

            def send() -> None:
                while data := file.readframes(file.getframerate() // 10):
                    connection.send_media(data)
                connection.send_close_stream()

            sender = threading.Thread(target=send)
            sender.start()
            for message in connection:
                if message.type == "Results" and message.is_final:
                    print(message.channel.alternatives[0].transcript)
            sender.join()


if __name__ == "__main__":
    main()
