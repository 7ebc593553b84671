"""Many live streams recognized together, one batched step at a time."""

from legato.engine.engine import Engine, Step
from legato.engine.streams import AsyncEngineStream, EngineStream

__all__ = ["AsyncEngineStream", "Engine", "EngineStream", "Step"]
