"""Writing and loading of the graphs of FP32 and of the variants, one at a time."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from legato.convert.bundle_writer import save_graph, write_bundle
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32, Precision
from legato.convert.open import open_checkpoint
from legato.convert.quantize.calibration import Calibration
from legato.convert.quantize.clips import Clip
from legato.convert.quantize.weight_only import WeightOnly
from legato.decode.transducer import Transducer
from legato.lab.study.variants import WAYS, Variant
from legato.model.bundle import Bundle, open_bundle
from legato.recognizer import Recognizer
from legato.runtime.features import LogMel
from legato.runtime.native import NativeEncoder
from legato.runtime.transducer import OnnxTransducer

#: Larger checkpoints, in bytes, run on the weights in the mapped file, without a prepacked copy in memory.
_LARGE = 1 << 29


@dataclass
class Workshop:
    """A folder with room for the graphs of one variant.

    Attributes:
        source: the checkpoint.
        folder: an empty folder.
        threads: threads of the encoders.
        bundle: sizes, pieces and prompts, which all variants share. Its graphs are removed by `prepare`.
    """

    source: Path
    folder: Path
    threads: int
    bundle: Bundle = field(init=False)
    _precisions: dict[str, Precision] = field(default_factory=dict)

    def open_fp32(self) -> Recognizer:
        """Write and load the model in FP32."""
        checkpoint = open_checkpoint(self.source)
        folder = self.folder / "fp32"
        write_bundle(checkpoint, folder, Float32(), "native", name=self.source.absolute().name, progress=_nothing)
        checkpoint.release()
        self._large = checkpoint.nbytes > _LARGE
        self.bundle = open_bundle(folder)
        return self._recognizer(folder, prepack=False)

    def prepare(self, recipes: Sequence[str], clips: Sequence[Clip]) -> None:
        """Remove the FP32 graphs, and calibrate if one of the recipes needs it.

        Raises:
            ConversionError: no recording can be used for calibration.
        """
        shutil.rmtree(self.folder / "fp32")
        calibration = Calibration(lambda: open_checkpoint(self.source), clips, self.folder / "calibration")
        self._precisions = {recipe: WAYS[recipe].make(calibration) for recipe in recipes}

    def open(self, variant: Variant, *, with_encoder: bool) -> tuple[Recognizer | None, Transducer]:
        """Write and load a variant in place of the previous one.

        Returns:
            The recognizer (None without an encoder), and the transducer.

        Raises:
            ConversionError, BundleError: the recipe is not possible for this model.
        """
        folder = self.folder / "variant"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._write(variant, folder, with_encoder=with_encoder)
        if not with_encoder:
            return None, self._transducer(folder)
        # Weights in blocks are 45 times slower without prepacking.
        prepack = isinstance(self._precisions[variant.recipe], WeightOnly)
        recognizer = self._recognizer(folder, prepack=prepack)
        return recognizer, recognizer.pipeline.decoder.transducer

    def _write(self, variant: Variant, folder: Path, *, with_encoder: bool) -> None:
        recipe = self._precisions[variant.recipe]
        checkpoint = open_checkpoint(self.source)

        save = partial(save_graph, folder=folder, progress=_nothing)
        try:
            if with_encoder:
                save(write_native_encoder(checkpoint, variant.encoder_precision(recipe)), name="encoder")
            if variant.section == "recipes":
                save(write_decoder(checkpoint, recipe.transducer, "batch"), name="decoder")
                save(write_joint(checkpoint, recipe.transducer, "batch", "frames"), name="joint")
            else:
                prediction, joint = (variant.transducer_precision(recipe, net) for net in ("prediction", "joint"))
                save(write_decoder(checkpoint, prediction, "batch"), name="decoder")
                save(write_joint(checkpoint, joint, "batch", "frames"), name="joint")
        finally:
            checkpoint.release()

    def _recognizer(self, folder: Path, *, prepack: bool) -> Recognizer:
        encoder = NativeEncoder(replace(self.bundle, path=folder), self.threads, prepack=prepack or not self._large)
        return Recognizer(self.bundle, LogMel(self.bundle.mel), encoder, self._transducer(folder))

    def _transducer(self, folder: Path) -> OnnxTransducer:
        return OnnxTransducer(replace(self.bundle, path=folder), 1)


def _nothing(*_: object) -> None:
    pass
