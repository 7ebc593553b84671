"""What Wyoming's `describe` returns: the served model."""

from wyoming.info import AsrModel, AsrProgram, Attribution, Info

from legato.model.languages import AUTO, is_tag
from legato.serve.core.service import Service
from legato.version import __version__


def describe(service: Service) -> Info:
    """Return the description of the served model."""
    bundle = service.engine.recognizer.bundle
    legato = Attribution("Legato", "")
    model = AsrModel(
        name=service.settings.model,
        attribution=legato,
        installed=True,
        description=f"{bundle.name}, {bundle.precision}",
        version=None,
        languages=sorted(name for name in bundle.prompts if name != AUTO and is_tag(name) and bundle.speaks(name)),
    )
    program = AsrProgram(
        name="legato",
        attribution=legato,
        installed=True,
        description="Streaming multilingual speech recognition",
        version=__version__,
        models=[model],
        supports_transcript_streaming=True,
    )
    return Info(asr=[program])
