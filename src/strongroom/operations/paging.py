"""Pagination: ``Limit`` and ``Marker`` in, ``Truncated`` and ``NextMarker`` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from strongroom.errors import InvalidMarkerException

T = TypeVar("T")


class PageSize(msgspec.Struct, frozen=True):
    """How many entries a page has when the caller does not say, and at most."""

    default: int
    maximum: int


class Page(msgspec.Struct, frozen=True):
    """Where a list goes on, and how far. ``scope`` names the list; a marker of another list is refused."""

    scope: str
    after: str
    size: int

    def cut(self, found: Sequence[T], name: Callable[[T], str]) -> tuple[list[T], str | None]:
        """Return this page of ``found`` and the marker of the next, None on the last.

        ``found`` was read with one entry more than ``size``, which tells whether there is a next page.
        """
        if len(found) <= self.size:
            return list(found), None
        kept = list(found[: self.size])
        return kept, base64.urlsafe_b64encode(f"{self.scope}\n{name(kept[-1])}".encode()).decode()


def page(scope: str, limit: int | None, marker: str | None, size: PageSize) -> Page:
    """Return the page a request asks for; raises InvalidMarkerException."""
    return Page(scope, _position(scope, marker), min(limit or size.default, size.maximum))


def _position(scope: str, marker: str | None) -> str:
    if marker is None:
        return ""
    try:
        found, _, after = base64.b64decode(marker, altchars=b"-_", validate=True).decode().partition("\n")
    except (binascii.Error, ValueError):
        raise InvalidMarkerException("The marker is not valid.") from None
    if found != scope or not after:
        raise InvalidMarkerException("The marker is not valid.")
    return after
