"""Send a file to `legato serve` with OpenAI's client, and print its words with their times.

    python examples/openai_client.py talk.wav              needs the package `openai`

OPENAI_BASE_URL and OPENAI_API_KEY name another server and its key.
"""

import os
import sys

import openai


def main() -> None:
    """Transcribe the file of the command line."""
    client = openai.OpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
    )
    with open(sys.argv[1], "rb") as file:  # noqa: PTH123
        answer = client.audio.transcriptions.create(
            file=file, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
        )
    for word in answer.words or []:
        print(f"{word.start:6.2f} {word.end:6.2f} {word.word}")


if __name__ == "__main__":
    main()
