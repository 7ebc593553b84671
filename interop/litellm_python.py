"""LiteLLM's `transcription`, with the providers of OpenAI, of compatible servers and of Deepgram."""

import os
from typing import Any

from report import HINTS, URL, check, step, versions, wav

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # asks for no list of prices on the network
import litellm

#: Provider: its model, and its address.
PROVIDERS = {
    "openai": ("whisper-1", f"{URL}/v1"),
    "hosted_vllm": ("whisper-1", f"{URL}/v1"),
    "deepgram": ("nova-3", f"{URL}/v1"),
}


def main() -> None:
    """Transcribe files; LiteLLM has no live streams for these providers."""
    for provider in PROVIDERS:
        with step(provider, "speak"):
            check(text(provider, "en"))
            if provider != "deepgram":  # LiteLLM refuses the format itself
                check(text(provider, "en", response_format="verbose_json"))
        with step(provider, "language"):
            check(text(provider, "de", language="de"), "de")
        with step(provider, "hints"):
            hints = {"keyterm": HINTS} if provider == "deepgram" else {"prompt": f"A talk about {', '.join(HINTS)}."}
            check(text(provider, "en", language="en", **hints))


def text(provider: str, clip: str, **more: Any) -> str:
    """Return the text of a clip."""
    model, address = PROVIDERS[provider]
    with wav(clip).open("rb") as file:
        answer = litellm.transcription(
            model=f"{provider}/{model}", file=file, api_base=address, api_key="unused", **more
        )
    return str(answer.text)


if __name__ == "__main__":
    versions("litellm")
    main()
