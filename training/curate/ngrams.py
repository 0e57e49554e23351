"""Word 8-grams of questions, as hashes: what decontamination compares (s1, section 2.1).

A question is lower-cased, its white space is normalised and it is split at spaces; punctuation
stays part of its word. A question with fewer than 8 words has no 8-gram.

Grams are compared as 64-bit hashes. Two different ones among n meet by chance with a probability
of about n^2 / 2^65, which is 1e-4 at 60 million.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WORDS = 8
Grams = NDArray[np.uint64]

# Powers of an odd constant: word order counts, and every word moves the whole hash.
_POWERS = np.array(
    [pow(0x9E3779B97F4A7C15, power, 1 << 64) for power in range(WORDS)], dtype=np.uint64
)


@lru_cache(maxsize=1 << 17)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def gram_hashes(question: str) -> Grams:
    """The hashes of all 8-grams, sorted and without repeats; shape (grams,)."""
    words = question.lower().split()
    count = len(words) - WORDS + 1
    if count < 1:
        return np.empty(0, np.uint64)
    hashes = np.array([_word_hash(word) for word in words], dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(hashes, WORDS)
    return np.unique((windows * _POWERS).sum(axis=1, dtype=np.uint64))


def members(grams: Grams, index: Grams) -> Grams:
    """The grams that are in a sorted index."""
    if not len(index) or not len(grams):
        return grams[:0]
    at = np.minimum(np.searchsorted(index, grams), len(index) - 1)
    found: Grams = grams[index[at] == grams]
    return found
