"""A curve as it goes to gateways: packed once by the store, however many of them there are.

The rules of a curve are tables of small numbers, which pack to a small part of their size.
"""

import pickle
import zlib

from policies.curves.curve import ClassCurve

_FASTEST = 1


def pack(curve: ClassCurve) -> bytes:
    return zlib.compress(pickle.dumps(curve, protocol=pickle.HIGHEST_PROTOCOL), _FASTEST)


def unpack(packed: bytes) -> ClassCurve:
    """Only of what the store has packed: it is a pickle, as all that Ray carries."""
    curve: ClassCurve = pickle.loads(zlib.decompress(packed))
    return curve
