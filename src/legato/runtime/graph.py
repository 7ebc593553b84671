"""A loaded graph, called with values in the order of a contract, whatever names, types and order the graph has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.model.interface import Role, positions
from legato.runtime.litert import LiteRtSession
from legato.runtime.session import Session

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class Graph:
    """Calls a graph whose interface `legato.model.contract` has checked.

    Args:
        inputs, outputs: of the contract. An input that the graph lacks is not fed.
    """

    def __init__(self, session: Session | LiteRtSession, inputs: Sequence[Role], outputs: Sequence[Role]) -> None:
        self._session = session
        there, back = session.get_inputs(), session.get_outputs()
        found = positions([role.name for role in inputs], there)
        self._feeds = [
            None if index is None else (there[index].name, np.dtype(_DTYPES[there[index].type])) for index in found
        ]
        self._fetched = [
            back[index].name for index in positions([role.name for role in outputs], back) if index is not None
        ]

    def run(self, *values: NDArray[np.generic]) -> list[NDArray[Any]]:
        """Return the outputs for a value of every input, in the order of the contract; real numbers as float32.

        Raises:
            BundleError: the graph cannot be run.
        """
        feeds = {
            feed[0]: value.astype(feed[1], copy=False)
            for feed, value in zip(self._feeds, values, strict=True)
            if feed is not None
        }
        outputs: list[NDArray[Any]] = self._session.run(self._fetched, feeds)
        return [output.astype(np.float32, copy=False) if output.dtype.kind == "f" else output for output in outputs]
