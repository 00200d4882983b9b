"""What an implementation of HMAC-SHA-256 keeps in place of a key, from which it computes as with the key.

It hashes one block before each message, the key XORed with a constant (RFC 2104, 2), and may keep the state of SHA-256
after that (FIPS 180-4, 6.2.2). ``hashlib`` does not show that state, so it is computed here.
"""

import struct
from math import isqrt

_BLOCK = 64
_PADS = (0x36, 0x5C)
_MASK = 0xFFFFFFFF


def _primes() -> list[int]:
    return [number for number in range(2, 312) if all(number % factor for factor in range(2, isqrt(number) + 1))]


def _cube_root(number: int) -> int:
    """Return the integer part of a cube root, by bisection."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low


_INITIAL = [isqrt(prime << 64) & _MASK for prime in _primes()[:8]]
"""The first 32 bits of the fractional parts of the square roots of primes (FIPS 180-4, 5.3.3)."""
_CONSTANTS = [_cube_root(prime << 96) & _MASK for prime in _primes()]
"""Those of the cube roots (FIPS 180-4, 4.2.2)."""


def padded_keys(key: bytes) -> list[bytes]:
    """Return the blocks that HMAC-SHA-256 with a key of at most 64 bytes hashes first."""
    return [bytes(byte ^ pad for byte in key.ljust(_BLOCK, b"\0")) for pad in _PADS]


def states_after(key: bytes) -> list[bytes]:
    """Return the states of SHA-256 after those blocks: eight words each, in the byte order of x86 and ARM."""
    return [struct.pack("<8I", *compressed(_INITIAL, block)) for block in padded_keys(key)]


def compressed(state: list[int], block: bytes) -> list[int]:
    """Return the state of SHA-256 after one more block."""
    words = [*struct.unpack(">16I", block)]
    for _ in range(48):
        a, b = words[-15], words[-2]
        low = _rotated(a, 7) ^ _rotated(a, 18) ^ (a >> 3)
        high = _rotated(b, 17) ^ _rotated(b, 19) ^ (b >> 10)
        words.append((words[-16] + low + words[-7] + high) & _MASK)
    a, b, c, d, e, f, g, h = state
    for word, constant in zip(words, _CONSTANTS, strict=True):
        choice, majority = (e & f) ^ (~e & g), (a & b) ^ (a & c) ^ (b & c)
        first = h + (_rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)) + choice + constant + word
        second = (_rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)) + majority
        a, b, c, d, e, f, g, h = (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g
    return [(x + y) & _MASK for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def digest(message: bytes) -> bytes:
    """Return SHA-256 of a message of less than 56 bytes, to compare with other implementations."""
    block = message + b"\x80" + bytes(_BLOCK - 9 - len(message)) + struct.pack(">Q", 8 * len(message))
    return struct.pack(">8I", *compressed(_INITIAL, block))


def _rotated(word: int, count: int) -> int:
    return (word >> count | word << (32 - count)) & _MASK
