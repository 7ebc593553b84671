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
    """

    name: str
    title: str
    script: str
    packages: tuple[str, ...]
    tls: bool = False

    @property
    def is_node(self) -> bool:
        """Whether the client is a package of npm."""
        return self.script.endswith(".mjs")


STACKS = (
    Stack("openai-python", "OpenAI, Python", "openai_python.py", ("openai[realtime]",)),
    Stack("deepgram-python", "Deepgram, Python", "deepgram_python.py", ("deepgram-sdk",)),
    Stack("wyoming", "Wyoming", "wyoming_python.py", ("wyoming",)),
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
