"""What a process of a server receives from its parent at its start."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from legato.serve.core.service import Shared
from legato.serve.settings import Settings
from legato.serve.tally import Tally

#: The messages on the socket between the parent and a process: what a connection speaks, and that the process answers.
HTTP, WYOMING, READY = b"h", b"w", b"r"


@dataclass(frozen=True)
class Job:
    """What is the same for all processes.

    Attributes:
        model: folder of the model.
        threads: threads of each process.
        settings: settings of the server.
        processes: their number.
        folder: a folder for what they share.
        secret, started: see `Shared`.
    """

    model: Path
    threads: int
    settings: Settings
    processes: int
    folder: Path
    secret: bytes
    started: int

    @classmethod
    def create(cls, model: Path, threads: int, settings: Settings, processes: int, folder: Path) -> "Job":
        """Describe a server, and create what its processes share in an empty folder."""
        job = cls(model, threads, settings, processes, folder, secrets.token_bytes(32), round(time.time()))
        job.metrics.mkdir()
        job.keys.mkdir()
        job._tally_file.write_bytes(bytes(Tally.size(processes)))
        return job

    @property
    def metrics(self) -> Path:
        """Folder of the metrics."""
        return self.folder / "metrics"

    @property
    def keys(self) -> Path:
        """Folder of the short-lived keys that are in use."""
        return self.folder / "keys"

    @property
    def _tally_file(self) -> Path:
        return self.folder / "tally"

    def tally(self, row: int) -> Tally:
        """Open the tally for a process."""
        return Tally(self._tally_file, self.processes, row)

    def shared(self, row: int) -> Shared:
        """Return what a process has in common with the others."""
        return Shared(self.tally(row), self.started, self.secret, self.keys)
