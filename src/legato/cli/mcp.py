"""`legato mcp`: speech recognition as tools of an assistant."""

from legato.cli.errors import guarded
from legato.cli.extras import require
from legato.cli.options import ModelOption, ThreadsOption


@guarded
def mcp(*, model: ModelOption = None, threads: ThreadsOption = None) -> None:
    """Offer tools for speech to an assistant (MCP).

    The assistant starts this command, and speaks the Model Context Protocol over its standard input and output.
    """
    require("legato mcp", "mcp")
    from legato.cli.model import open_model
    from legato.contrib.mcp import run

    run(open_model(model, threads).recognizer)
