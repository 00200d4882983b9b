"""Pagination: ``Limit`` and ``Marker`` in, ``Truncated`` and ``NextMarker`` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from strongroom.errors import InvalidMarkerException

T = TypeVar("T")


class PageSize(msgspec.Struct, frozen=True):
    """The number of entries of a page: the default and the maximum."""

    default: int
    maximum: int


class Page(msgspec.Struct, frozen=True):
    """One page of a list, from behind the entry ``after``. ``scope`` names the list: its markers fit no other."""

    scope: str
    after: str
    size: int

    def cut(self, found: Sequence[T], name: Callable[[T], str]) -> tuple[list[T], str | None]:
        """Return this page of ``found`` and the marker of the next, None on the last.

        ``found`` has one entry more than ``size`` if there is a next page.
        """
        if len(found) <= self.size:
            return list(found), None
        kept = list(found[: self.size])
        return kept, base64.urlsafe_b64encode(f"{self.scope}\n{name(kept[-1])}".encode()).decode()


def page(scope: str, limit: int | None, marker: str | None, size: PageSize) -> Page:
    """Return the page that a request asks for; raises InvalidMarkerException for a marker of another list."""
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
