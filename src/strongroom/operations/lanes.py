"""Lanes: on which threads calls run. The request's body gives the first guess, before the key is known."""

from enum import Enum

import msgspec


class Lane(Enum):
    """Where a call runs. Each lane but the first has threads of its own, so that none waits behind another's work."""

    INLINE = "on the event loop: it takes some hundred microseconds at most"
    READING = "reads from the database, such as what is not cached"
    WRITING = "writes to the database, so it may wait seconds for other writers"
    SIGNING = "computes for up to a millisecond with a key; the rest of the call stays on the event loop"
    COMPUTING = "computes for milliseconds"
    GENERATING = "looks for primes, for up to seconds"
    KEY_BACKEND = "uses a key whose material is in a hardware token or behind a network"
    XKS_PROXY = "calls an external key store proxy, which may not answer"


PREPARED_AT_ONCE = (Lane.INLINE, Lane.SIGNING)
"""Lanes whose calls are decoded and authorized on the event loop, as soon as their signature is verified."""

_SLOW_ALGORITHMS = (b"RSA", b"ECDSA_SHA_384", b"ECDSA_SHA_512", b"ML_DSA", b"\\")
"""Names of slow algorithms. A body that has one anywhere costs a thread switch; and so does a backslash, behind which
JSON could hide one. An attested recipient always names one: RSAES_OAEP_SHA_256."""

LARGE_BODY = 32 * 1024
"""Bytes. No call that only uses keys has a body this large, and decoding it can take too long for the event loop."""


class _Specs(msgspec.Struct, rename="pascal"):
    """The members of a body that name a key spec, with any values."""

    key_spec: object = None
    customer_master_key_spec: object = None
    key_pair_spec: object = None


_specs_decoder = msgspec.json.Decoder(_Specs)


def _never(_body: bytes) -> bool:
    return False


def _may_name_slow_algorithm(body: bytes) -> bool:
    if b"Algorithm" not in body and b"\\" not in body:
        # It names none. The default algorithms are fast.
        return False
    for name in _SLOW_ALGORITHMS:  # noqa: SIM110 - faster than any() of a generator
        if name in body:
            return True
    return False


def _names_slow_spec(body: bytes) -> bool:
    """Tell whether a body names a spec that is slow to make; one that cannot be decoded will be refused, in any lane.

    It is decoded for that: policies and descriptions are full of backslashes and may contain any word.
    """
    if b"RSA" not in body and b"\\" not in body:
        return False
    try:
        specs = _specs_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return False
    named = (specs.key_spec, specs.customer_master_key_spec, specs.key_pair_spec)
    return any(isinstance(spec, str) and spec.startswith("RSA") for spec in named)


class Placement(Enum):
    """The lanes of an operation: the usual one, the one for slow requests, and what tells whether a body is slow."""

    INLINE = (Lane.INLINE, Lane.INLINE, _never)
    READING = (Lane.READING, Lane.READING, _never)
    WRITING = (Lane.WRITING, Lane.WRITING, _never)
    COMPUTING = (Lane.COMPUTING, Lane.COMPUTING, _never)
    GENERATING = (Lane.GENERATING, Lane.GENERATING, _never)
    BY_ALGORITHM = (Lane.INLINE, Lane.COMPUTING, _may_name_slow_algorithm)
    SIGNATURE = (Lane.INLINE, Lane.SIGNING, _may_name_slow_algorithm)
    KEY_PAIR = (Lane.COMPUTING, Lane.GENERATING, _names_slow_spec)
    KEY_STORE = (Lane.XKS_PROXY, Lane.XKS_PROXY, _never)
    NEW_KEY = (Lane.WRITING, Lane.GENERATING, _names_slow_spec)
