"""A trie over token ids that boosts phrases, and the boost that a path through it earns.

The boost is the shallow fusion of a context graph with Aho-Corasick fail links, as in Andrusenko et al., "TurboBias:
Universal ASR Context-Biasing powered by GPU-accelerated Phrase-Boosting Tree" (2025). A token that begins or continues
a phrase earns a boost at once. What an unfinished phrase has earned is given back when the phrase fails. The boosts of
a text therefore add up to those of the phrases in it.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class PhraseTrie:
    """Phrases as paths of token ids. It never changes, so streams share it, and a copy of it is itself.

    A node is a number; 0 is the root, where no phrase is open.
    """

    def __init__(self, spellings: Iterable[tuple[Sequence[int], float]], vocabulary: int) -> None:
        """Build the trie.

        Args:
            spellings: token sequences, each with the boost that it earns in total, in nats.
            vocabulary: number of tokens, blank not included.
        """
        self._vocabulary = vocabulary
        self._children: list[dict[int, int]] = [{}]
        self._earned = [0.0]
        self._ends: list[float | None] = [None]
        for tokens, boost in spellings:
            self._insert(tokens, boost)
        self._fail = [0] * len(self._children)
        self._kept = [0.0] * len(self._children)
        self._link()
        self._root = np.zeros(vocabulary, np.float32)
        for token, child in self._children[0].items():
            self._root[token] = self._earned[child]

    def __deepcopy__(self, _memo: object) -> "PhraseTrie":
        return self

    def _insert(self, tokens: Sequence[int], boost: float) -> None:
        node = 0
        for depth, token in enumerate(tokens, 1):
            child = self._children[node].get(token)
            if child is None:
                child = self._children[node][token] = len(self._children)
                self._children.append({})
                self._earned.append(0.0)
                self._ends.append(None)
            self._earned[child] = max(self._earned[child], boost * depth / len(tokens))
            node = child
        self._ends[node] = max(self._ends[node] or 0.0, boost)

    def _link(self) -> None:
        """Set, breadth first, the fail links and what each node keeps if its phrase fails: earlier complete phrases."""
        paths: dict[int, tuple[int, ...]] = {0: (0,)}
        queue = deque([0])
        while queue:
            node = queue.popleft()
            for token, child in self._children[node].items():
                # Another phrase with the same beginning may have earned more there.
                self._earned[child] = max(self._earned[child], self._earned[node])
                self._fail[child] = self._step(self._fail[node], token)[0] if node else 0
                paths[child] = (*paths[node], child)
                self._kept[child] = max(self._kept[node], self._ended(child, paths))
                queue.append(child)

    def _ended(self, node: int, paths: dict[int, tuple[int, ...]]) -> float:
        """Return the most that the phrases that end at a node keep, together with those before them."""
        best, suffix = 0.0, node
        while suffix:
            end = self._ends[suffix]
            if end is not None:
                before = paths[node][-len(paths[suffix])]
                best = max(best, min(self._kept[before] + end, self._earned[node]))
            suffix = self._fail[suffix]
        return best

    def _step(self, node: int, token: int) -> tuple[int, float]:
        """Return the node after a token and what the token earns in nats, before anything is given back."""
        while True:
            child = self._children[node].get(token)
            if child is not None:
                return child, self.owed(node) + self._earned[child] - self._earned[node]
            if not node:
                return 0, 0.0
            node = self._fail[node]

    def owed(self, node: int) -> float:
        """Return the nats that an unfinished phrase has earned and gives back if it fails."""
        return self._earned[node] - self._kept[node]

    def advance(self, node: int, token: int) -> tuple[int, float]:
        """Return the node after a token and what the token earns in nats, less what is given back."""
        child, earned = self._step(node, token)
        return child, earned - self.owed(node)

    def scores(self, node: int) -> NDArray[np.float32]:
        """Return what `advance` returns for every token: float32[vocabulary], in nats."""
        scores = self._root.copy()
        chain = []
        current = node
        while current:
            chain.append(current)
            current = self._fail[current]
        for suffix in reversed(chain):  # the longest match decides
            for token, child in self._children[suffix].items():
                scores[token] = self.owed(suffix) + self._earned[child] - self._earned[suffix]
        scores -= self.owed(node)
        return scores

    def choose(self, logits: NDArray[np.float32], node: int) -> tuple[int, int]:
        """Return the best token after a node, blank excluded, and the node after it; logits float32[vocabulary + 1]."""
        token = int((logits[: self._vocabulary] + self.scores(node)).argmax())
        return token, self._step(node, token)[0]
