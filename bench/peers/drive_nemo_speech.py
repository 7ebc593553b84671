"""Driver of NeMo-Speech.cpp (ggml), through its C interface (`include/nemo_speech/asr.h`).

    NEMO_SPEECH_LIBRARY=libnemo_speech_asr_c.so \
        python -m bench.peers.drive_nemo_speech --model FILE.gguf --mode stream|file --threads N --chunk-ms 320 WAV...

The library takes the number of threads from NEMO_SPEECH_THREADS, because `bench.peers.setup` builds it so: its sources
fix the number at 4. A file uses its offline path. The interface reports words and not tokens, so `symbols` counts
words.
"""

import ctypes
import os
from collections.abc import Iterator

from bench.peers.driver import RATE, Outcome, Samples, Task, parse, run


class _Backend(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("gpu", ctypes.c_int32)]


class _Model(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("path", ctypes.c_char_p), ("name", ctypes.c_char_p)]


class _Streaming(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("chunk_size", ctypes.c_float),
        ("ctc_left_padding", ctypes.c_float),
        ("ctc_right_padding", ctypes.c_float),
        ("rnnt_right_context", ctypes.c_int32),
    ]


class _Configuration(ctypes.Structure):
    """The first fields of the configuration. The library fills in those that follow."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("backend", ctypes.POINTER(_Backend)),
        ("model", ctypes.POINTER(_Model)),
        ("streaming", ctypes.POINTER(_Streaming)),
    ]


class _Options(ctypes.Structure):
    """The first fields of the options of a request."""

    _fields_ = [("size", ctypes.c_size_t), ("request_id", ctypes.c_char_p), ("language_code", ctypes.c_char_p)]


class NemoSpeechPeer:
    """NeMo-Speech.cpp with the interface of the drivers."""

    def __init__(self, task: Task) -> None:
        os.environ["NEMO_SPEECH_THREADS"] = str(task.threads)
        self._library = library = ctypes.CDLL(os.environ["NEMO_SPEECH_LIBRARY"])
        for name in ("version", "last_error", "result_transcript"):
            getattr(library, f"nemo_speech_asr_{name}").restype = ctypes.c_char_p
        library.nemo_speech_asr_result_is_final.restype = ctypes.c_bool
        self.version = f"NeMo-Speech.cpp {library.nemo_speech_asr_version().decode()}"
        self.parts: dict[str, list[float]] = {}
        backend = _Backend(ctypes.sizeof(_Backend), -1)
        model = _Model(ctypes.sizeof(_Model), str(task.model).encode(), None)
        streaming = _Streaming(ctypes.sizeof(_Streaming), 0.16, 1.92, 1.92, task.chunk_ms // 80 - 1)
        pointers = ctypes.pointer(backend), ctypes.pointer(model), ctypes.pointer(streaming)
        configuration = _Configuration(ctypes.sizeof(_Configuration), *pointers)
        language = None if task.language == "auto" else task.language.encode()
        self._options = _Options(ctypes.sizeof(_Options), None, language)
        self._recognizer = ctypes.c_void_p()
        self._call("create", ctypes.byref(configuration), ctypes.byref(self._recognizer))

    def file(self, samples: Samples) -> Outcome:
        """See `Peer.file`."""
        result = ctypes.c_void_p()
        self._call(
            "recognize_f32",
            self._recognizer,
            ctypes.byref(self._options),
            samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            ctypes.c_size_t(len(samples)),
            RATE,
            ctypes.byref(result),
        )
        return self._outcome(result)

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """See `Peer.stream`."""
        stream = ctypes.c_void_p()
        self._call("streaming_recognize", self._recognizer, ctypes.byref(self._options), ctypes.byref(stream))
        finals: list[Outcome] = []
        for piece in pieces:
            address = piece.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            self._call("stream_push_f32", stream, address, ctypes.c_size_t(len(piece)), RATE)
            finals += self._results(stream)
        self._call("stream_finish", stream)
        finals += self._results(stream)
        self._library.nemo_speech_asr_stream_close(stream)
        return Outcome(sum(final.symbols for final in finals), " ".join(final.text for final in finals))

    def _results(self, stream: ctypes.c_void_p) -> list[Outcome]:
        """Do all work that the audio so far allows, and return the final results."""
        finals: list[Outcome] = []
        while True:
            result = ctypes.c_void_p()
            self._call("stream_next", stream, ctypes.byref(result))
            if not result:
                return finals
            final = self._library.nemo_speech_asr_result_is_final(result)
            outcome = self._outcome(result)
            if final:
                finals.append(outcome)

    def _outcome(self, result: ctypes.c_void_p) -> Outcome:
        text: bytes = self._library.nemo_speech_asr_result_transcript(result, ctypes.c_size_t(0)) or b""
        self._library.nemo_speech_asr_result_destroy(result)
        return Outcome(len(text.split()), text.decode())

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, f"nemo_speech_asr_{name}")(*arguments):
            raise SystemExit(f"{name}: {self._library.nemo_speech_asr_last_error().decode()}")


def main() -> None:
    """Run from the command line."""
    run(parse(), NemoSpeechPeer)


if __name__ == "__main__":
    main()
