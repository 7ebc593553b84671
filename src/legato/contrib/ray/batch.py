"""Many files on the machines of a Ray cluster, through Ray Data."""

import logging
import os
import pickle
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.data

from legato.audio.channels import Channels
from legato.batch import Result, Track, transcribe_file
from legato.contrib.ray.cluster import start_ray
from legato.engine.engine import Engine
from legato.errors import LegatoError
from legato.options import StreamOptions
from legato.recognizer import load

_MOST_BLOCKS = 10_000
_WORKER_DIED = "its worker died; the same command tries it again, and Ray's log files may tell the cause"


class RayExecutor:
    """Transcribes files with as many workers as there is room for; each has the model and one file at a time.

    The audio and the model must have the same path on all machines. See `legato.batch.Executor`.

    Args:
        channels: as in `Recognizer.transcribe`.
        track: as in `open_audio`.
        jobs: workers at most; None fills the cluster.
        threads: CPUs per worker.
    """

    def __init__(
        self,
        model: Path,
        options: StreamOptions,
        *,
        channels: Channels = "mix",
        track: Track = None,
        jobs: int | None,
        threads: int,
    ) -> None:
        self._worker = (model.resolve(), threads, pickle.dumps((options, channels, track)), Path.cwd())
        self._jobs, self._threads = jobs, threads

    def run(self, names: Sequence[str]) -> Generator[Result, None, None]:
        """Transcribe files; see `legato.batch.Executor`."""
        if not names:
            return
        start_ray(quiet=True)
        missing = dict.fromkeys(names)
        try:
            for result in self._results(names):
                missing.pop(result.name, None)
                yield result
            for name in missing:
                yield Result(name, None, _WORKER_DIED)
        except ray.exceptions.RayError as error:
            raise LegatoError(f"Ray failed: {error}. The same command does the rest.") from error
        finally:
            ray.shutdown()

    def _results(self, names: Sequence[str]) -> Generator[Result, None, None]:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it shows tracebacks of errors that we report
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a file that kills its worker fails alone
        room = int(ray.cluster_resources().get("CPU", 1) // self._threads)
        workers = max(1, min(len(names), room if self._jobs is None else self._jobs))
        files = ray.data.from_items(
            [{"name": name} for name in names], override_num_blocks=min(len(names), _MOST_BLOCKS)
        )
        with warnings.catch_warnings():  # there is no other way yet to limit how often a worker is tried again
            warnings.simplefilter("ignore", DeprecationWarning)
            results = files.map(
                _Worker,
                fn_constructor_args=self._worker,
                # One file at a time: when a worker dies, the files that were assigned to it are lost.
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
                ),
                num_cpus=self._threads,
                max_restarts=-1,
                max_task_retries=1,
            )
        # Without prefetching, each result arrives as soon as it is there.
        for batch in results.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for row in batch.to_pylist():
                result: Result = pickle.loads(row["result"])
                yield result


class _Worker:
    """Transcribes files in a process of the cluster."""

    def __init__(self, model: Path, threads: int, given: bytes, folder: Path) -> None:
        if folder.is_dir():
            os.chdir(folder)  # relative names mean the same as on the user's machine
        self._engine = Engine(load(model, threads=threads), max_streams=1)
        self._given: tuple[StreamOptions, Channels, Track] = pickle.loads(given)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Transcribe the file of a row."""
        return {"result": pickle.dumps(transcribe_file(self._engine, row["name"], *self._given))}
