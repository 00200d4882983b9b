"""Keeps what was made once, in a dict of bounded size: for what is cheap to make anew, so nothing is chosen to go."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep(known: dict[K, V], key: K, value: V, most: int) -> V:
    """Put a value in and return it; when there are ``most`` already, all of them go first."""
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value
