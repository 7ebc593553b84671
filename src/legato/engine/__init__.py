"""Many live streams recognized together, one batched step at a time."""

from legato.engine.engine import Engine
from legato.engine.streams import AsyncEngineStream, EngineStream
from legato.engine.worker import Step

__all__ = ["AsyncEngineStream", "Engine", "EngineStream", "Step"]
