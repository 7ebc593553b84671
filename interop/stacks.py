"""The clients that are tried: their packages and their scripts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stack:
    """A client, or a framework with its clients.

    Attributes:
        name: name on the command line and of the environment's folder.
        title: name in the table.
        script: file in this folder; one that ends with `.mjs` is run by Node.
        packages: what `pip` or `npm` installs.
        tls: whether the client insists on HTTPS.
        python: interpreter that the client needs, such as `python3.13`; empty for the one that runs this program.
    """

    name: str
    title: str
    script: str
    packages: tuple[str, ...]
    tls: bool = False
    python: str = ""

    @property
    def is_node(self) -> bool:
        """Whether the client is a package of npm."""
        return self.script.endswith(".mjs")


# Home Assistant pins the requirements of its integrations in their manifests.
STACKS = (
    Stack("openai-python", "OpenAI, Python", "openai_python.py", ("openai[realtime]",)),
    Stack("deepgram-python", "Deepgram, Python", "deepgram_python.py", ("deepgram-sdk",)),
    Stack("wyoming", "Wyoming", "wyoming_python.py", ("wyoming",)),
    Stack(
        "home-assistant", "Home Assistant", "home_assistant.py",
        (
            "homeassistant==2025.4.4", "wyoming==1.5.4", "hassil==2.2.3", "home-assistant-intents==2025.3.28",
            "mutagen==1.47.0", "ha-ffmpeg==3.2.2", "pymicro-vad==1.0.1", "pyspeex-noise==1.0.2",
        ),
        python="python3.13",
    ),
    Stack("openai-node", "OpenAI, Node", "openai_node.mjs", ("openai", "ws"), tls=True),
    Stack("deepgram-node", "Deepgram, Node", "deepgram_node.mjs", ("@deepgram/sdk",)),
    Stack("ai-sdk", "Vercel AI SDK", "ai_sdk.mjs", ("ai", "@ai-sdk/openai", "@ai-sdk/deepgram")),
    Stack("litellm", "LiteLLM", "litellm_python.py", ("litellm",)),
    Stack("pipecat", "Pipecat", "pipecat_python.py", ("pipecat-ai[openai,deepgram]",)),
    Stack(
        "livekit", "LiveKit Agents", "livekit_python.py",
        ("livekit-agents", "livekit-plugins-openai", "livekit-plugins-deepgram"),
    ),
)  # fmt: skip
