"""The hub of models: which files a repository has, their bytes, and what its errors mean.

No other module imports huggingface_hub. `legato.model.registry` loads this one when a model is downloaded.
"""

import errno
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import BinaryIO

from huggingface_hub import HfApi, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from legato.errors import DownloadError
from legato.installation import install_command
from legato.model.bundle import GRAPHS, graph_name, layout_of

_REQUIRED = ("config.json", "vocab.json", "languages.json")
#: The files of a bundle. A repository may hold thousands of others.
_WANTED = re.compile(
    rf"({'|'.join(GRAPHS)})[\w.-]*\.(onnx|data|onnx_data)"
    rf"|nemotron-multilingual-({'|'.join(GRAPHS)})\.tflite|(config|vocab|languages|io_map)\.json"
)
_NETWORK_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2"}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub.

    Attributes:
        name: in the repository and in the model's folder.
        size: in bytes.
        hash: SHA-256 (64 digits), or a git blob's SHA-1 (40 digits) for files outside large file storage.
        url: where to ask for its bytes. The hub redirects to a signed address that soon expires, so every request
            starts at the hub. The user's token is not sent to another host.
    """

    name: str
    size: int
    hash: str
    url: str

    @property
    def partial_name(self) -> str:
        """Name of the file while it is incomplete; it holds a part of the hash."""
        return f"{self.name}.{re.sub(r'[^0-9A-Za-z]', '', self.hash)[:16]}.part"


def remote_files(repo: str) -> tuple[str, list[RemoteFile]]:
    """Return a repository's current commit and its model files, the small ones first.

    Raises:
        DownloadError: the repository does not hold a model that Legato can run.
    """
    _open_session()
    info = HfApi().model_info(repo, timeout=HF_HUB_DOWNLOAD_TIMEOUT)
    commit = info.sha or "main"
    names = [sibling.rfilename for sibling in info.siblings or []]
    layout = layout_of(names)
    graphs = (graph_name(layout, graph) for graph in GRAPHS)
    missing = [name for name in (*graphs, *_REQUIRED) if name not in names]
    if missing:
        checkpoint = any(name.endswith((".nemo", ".safetensors")) for name in names)
        remedy = (
            "It looks like a checkpoint. Download it and run 'legato convert'."
            if checkpoint
            else "Choose a repository of a converted model."
        )
        raise DownloadError(f"{repo} is not a model for Legato: {missing[0]} is missing. {remedy}")
    if layout == "litert" and find_spec("ai_edge_litert") is None:
        raise DownloadError(
            f"{repo} is a model for LiteRT, which needs packages that are not installed. "
            f"Install them with: {install_command('litert')}"
        )
    files = [_remote_file(repo, name, commit) for name in names if _WANTED.fullmatch(name)]
    return commit, sorted(files, key=lambda file: file.size)


def _open_session() -> None:
    """Read the settings of the connection from the environment: proxies and certificates.

    Raises:
        DownloadError: they cannot be used.
    """
    try:
        get_session()
    except ImportError:
        raise DownloadError(
            "A SOCKS proxy (ALL_PROXY, HTTPS_PROXY) needs the package socksio. Install it with: pip install socksio"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(
            f"The certificates cannot be read: {reason}. Check SSL_CERT_FILE and SSL_CERT_DIR."
        ) from None


def _remote_file(repo: str, name: str, commit: str) -> RemoteFile:
    url = hf_hub_url(repo, name, revision=commit)
    metadata = get_hf_file_metadata(url)
    if metadata.size is None or metadata.etag is None:
        raise DownloadError(f"{repo}: the hub does not announce the size and hash of {name}. Try again later.")
    return RemoteFile(name, metadata.size, metadata.etag, url)


def dataset_files(repo: str, folder: str, revision: str) -> list[str]:
    """Return the sorted paths of the files of a data set in a folder and its subfolders.

    Args:
        repo: name of the data set on the hub.
        folder: path of the folder in the repository.
        revision: branch, tag or commit.

    Raises:
        Exception: of huggingface_hub.
    """
    tree = HfApi().list_repo_tree(repo, folder, repo_type="dataset", revision=revision, recursive=True)
    return sorted(entry.path for entry in tree)


def receive(file: RemoteFile, start: int, sink: BinaryIO, progress: Callable[[int], object]) -> None:
    """Append a file's bytes to a sink, until its end or until the connection breaks.

    Args:
        file: what to ask for.
        start: the first byte to ask for.
        sink: holds the bytes before it.
        progress: called with the bytes that the sink holds.

    Raises:
        Exception: of huggingface_hub, or a ConnectionError; `explained` makes a DownloadError of it.
        DownloadError: more bytes come than the hub announced, or in a coding that was not asked for.
    """
    headers = build_hf_headers()
    headers["Accept-Encoding"] = "identity"
    if start:
        headers["Range"] = f"bytes={start}-"
    with get_session().stream("GET", file.url, headers=headers, timeout=HF_HUB_DOWNLOAD_TIMEOUT) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        if start and response.status_code != 206:  # the whole file is coming
            sink.seek(0)
            sink.truncate()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(f"{file.name}: the hub sends it compressed, which was not asked for. Try again later.")
        for piece in response.iter_raw():
            if sink.tell() + len(piece) > file.size:
                raise DownloadError(f"{file.name}: the hub sends more than the {file.size} bytes that it announced.")
            sink.write(piece)
            progress(sink.tell())
        if sink.tell() < file.size:
            raise ConnectionError(f"{file.name} ended after {sink.tell()} of {file.size} bytes")


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Turn an error that occurs during a download into a DownloadError with cause and remedy."""
    try:
        yield
    except DownloadError:
        raise
    except Exception as error:
        message = _explanation(repo, error)
        if message is None:
            raise
        raise DownloadError(message) from error


def _explanation(repo: str, error: Exception) -> str | None:
    again = "What arrived is kept: run the same command again to resume."
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated. Accept its terms on its page, then log in with 'hf auth login' or set HF_TOKEN."
    if isinstance(error, RepositoryNotFoundError):
        return f"{repo}: no such repository, or a private one. Check the name; for a private repository set HF_TOKEN."
    if isinstance(error, HFValidationError):
        return f"{repo!r} is not the name of a repository. Names look like owner/name; see 'legato models'."
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo} cannot be downloaded: HF_HUB_OFFLINE is set. Unset it."
    if isinstance(error, HfHubHTTPError):
        return f"{repo}: {_status(error)}"
    if is_network_error(error) and is_name_error(error):
        return (
            f"{repo}: the name of the hub cannot be resolved (DNS: {error}). Check the network and HF_ENDPOINT. {again}"
        )
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return f"{repo}: the hub did not answer for {HF_HUB_DOWNLOAD_TIMEOUT} s. Try again later. {again}"
    if is_network_error(error):
        return f"{repo}: no connection to the hub ({error}). Check the network, a proxy, and HF_ENDPOINT. {again}"
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{repo}: the disk is full. Free some room, or set LEGATO_HOME to a folder on another disk. {again}"
    if isinstance(error, OSError) and error.errno is not None:
        where = f" {error.filename}" if error.filename else ""
        cause = os.strerror(error.errno)
        return f"{repo}: cannot write{where}: {cause}. Set LEGATO_HOME to a folder that you may write to."
    if isinstance(error, OSError):
        return f"{repo}: the download broke off ({str(error).splitlines()[0]}). {again}"
    return None


def is_network_error(error: Exception) -> bool:
    """Return whether a connection failed, as opposed to an answer of the hub that is an error."""
    library = type(error).__module__.split(".")[0]
    return library in _NETWORK_LIBRARIES or isinstance(error, ConnectionError | TimeoutError)


def is_name_error(error: BaseException | None) -> bool:
    """Return whether the name of a host could not be resolved."""
    while error is not None:
        if isinstance(error, socket.gaierror) or "Name or service not known" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return "the hub does not accept the token (401). Log in again with 'hf auth login' or correct HF_TOKEN."
    if status == 403:
        return "the hub refuses access (403). Ask its owner for access, or use a token that has it (HF_TOKEN)."
    if status == 404:
        return "not on the hub (404). Check the name, and HF_ENDPOINT."
    if status == 429:
        return "the hub allows no more requests at present (429). Wait some minutes and run the same command again."
    return f"the hub answered {status}. Try again later."
