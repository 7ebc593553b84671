"""Many files on the machines of a Ray cluster, through Ray Data: recognised there, written here as without it."""

import logging
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.data

from legato.audio.channels import Channels
from legato.cli.batch.local import Job, Outcome, Told, Write, reason_of, recognise
from legato.cli.errors import say_error
from legato.contrib.ray.cluster import start_ray
from legato.errors import LegatoError, OutputError

if TYPE_CHECKING:
    from legato.recognizer import Options, Recognizer

_MOST_BLOCKS = 10_000


class RayData:
    """Runs `transcribe_many` on Ray: as many workers as there is room for, each with the model and a file at a time.

    The audio and the model must be found under the same path on all machines; results are written by the command alone.

    Args:
        jobs: workers at most; None fills the cluster.
        threads: CPUs of each.
    """

    def __init__(self, jobs: int | None, threads: int) -> None:
        self._jobs = jobs
        self._threads = threads

    def __call__(  # noqa: D102 - see `Run`
        self,
        recognizer: "Recognizer",
        todo: Sequence[Job],
        outcome: Outcome,
        tell: Told,
        options: "Options",
        *,
        channels: Channels,
        write: Write,
    ) -> None:
        if not todo:
            return
        start_ray(quiet=True)
        waiting = dict(enumerate(todo))
        try:
            for number, result, faults in self._results(recognizer, todo, options, channels):
                job = waiting.pop(number)
                for fault in faults:
                    say_error(fault)
                try:
                    if isinstance(result, str):
                        outcome.failed[job.name] = result
                        tell(job.name, None)
                        continue
                    write(job, result)
                except OutputError as error:
                    outcome.failed[job.name] = reason_of(error)
                    tell(job.name, None)
                    if error.no_room:
                        outcome.stopped = "the disk is full"
                        break
                    continue
                outcome.done += 1
                outcome.seconds += result.duration
                tell(job.name, result)
            else:
                for job in waiting.values():
                    outcome.failed[job.name] = (
                        "its worker died; the same command tries it again, Ray's log files may say why"
                    )
                    tell(job.name, None)
                waiting.clear()
        except KeyboardInterrupt:
            outcome.interrupted = True
            outcome.stopped = "interrupted"
        except ray.exceptions.RayError as error:
            raise LegatoError(f"Ray failed: {error}. The same command does the rest.") from error
        finally:
            outcome.left += len(waiting)
            ray.shutdown()

    def _results(
        self, recognizer: "Recognizer", todo: Sequence[Job], options: "Options", channels: Channels
    ) -> Iterator[tuple[int, Any, list[str]]]:
        """Give number, transcript or reason of failure, and faults of each file, in the order in which they come."""
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it shows tracebacks of what we tell
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a file that kills its worker is one that failed
        room = int(ray.cluster_resources().get("CPU", 1) // self._threads)
        workers = max(1, min(len(todo), room if self._jobs is None else self._jobs))
        rows = [{"number": number, "name": job.name} for number, job in enumerate(todo)]
        files = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        with warnings.catch_warnings():  # there is no other way yet to say how often a worker is tried again
            warnings.simplefilter("ignore", DeprecationWarning)
            results = files.map(
                _Worker,
                fn_constructor_args=(
                    recognizer.bundle.path.resolve(), self._threads, pickle.dumps(options), channels, Path.cwd(),
                ),
                # A file at a time, for those that a dying worker had before it die with it.
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
                ),
                num_cpus=self._threads,
                max_restarts=-1,
                max_task_retries=1,
            )  # fmt: skip
        # Each is handed over when it is there: with others prefetched it would wait for those.
        for batch in results.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for row in batch.to_pylist():
                yield row["number"], *pickle.loads(row["result"])


class _Worker:
    """Recognises files; made in a process of the cluster."""

    def __init__(self, model: Path, threads: int, options: bytes, channels: Channels, folder: Path) -> None:
        from legato.engine.engine import Engine
        from legato.recognizer import load

        if folder.is_dir():
            os.chdir(folder)  # names mean what they mean to the user
        self._engine = Engine(load(model, threads=threads), max_streams=1)
        self._options: Options = pickle.loads(options)
        self._channels = channels

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Recognise the file of a row."""
        faults: list[str] = []
        try:
            result: Any = recognise(self._engine, row["name"], self._channels, self._options, faults.append)
        except Exception as error:  # whatever it is, the other files go on
            result = reason_of(error)
        return {"number": row["number"], "result": pickle.dumps((result, faults))}
