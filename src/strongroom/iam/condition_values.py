"""The values of conditions: what the text in a policy or a request means to each type of operator.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators"; W3C, "Date and Time Formats". Every function
returns None for text of another format.
"""

import base64
import binascii
import ipaddress
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final, TypeAlias

Network = tuple[int, int, int]
"""The first and the last address of a network, as integers, after the version of the protocol."""

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][+-]?[0-9]{1,6})?")
_BYTE: Final = 255
_IPV4_BITS: Final = 32
_MAPPED_BITS: Final = 96
"""So long is the prefix ``::ffff:0:0`` of IPv4-mapped addresses (RFC 4291, 2.5.5.2)."""
_PART: Final = "(0|[1-9][0-9]{0,2})"
_IPV4: Final = re.compile(rf"{_PART}\.{_PART}\.{_PART}\.{_PART}(?:/(0|[1-9][0-9]?))?")
_EPOCH: Final = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,9})?")
_DATE: Final = re.compile(
    r"(?P<year>-?[0-9]{1,9})(?:-(?P<month>[0-9]{1,2})(?:-(?P<day>[0-9]{1,2}))?)?"
    r"(?:[tT](?:(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?"
    r"(?:[zZ]|(?P<sign>[+-])(?P<off_hours>[0-9]{2})(?::?(?P<off_minutes>[0-9]{2}))?)?)?)?"
)
_LAST_EPOCH: Final = 2**63 - 1
_YEARS: Final = range(-292_275_054, 292_278_994)
_MINUTES: Final = 60
_CYCLE_YEARS: Final = 400
_CYCLE_SECONDS: Final = 146_097 * 86_400
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def number(text: str) -> Decimal | None:
    """Return an integer or decimal number."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def boolean(text: str) -> bool | None:
    """Return ``true`` or ``false``, in any case."""
    return {"true": True, "false": False}.get(text.lower())


def binary(text: str) -> bytes | None:
    """Return what base64 text stands for."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def address(text: str) -> tuple[int, int] | None:
    """Return an IP address: the version of the protocol and the address as an integer."""
    usual = _ipv4(text)
    if usual is not None and "/" not in text:
        return 4, usual[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = _without_mapping(found)
    return mapped.version, int(mapped)


def _ipv4(text: str) -> tuple[int, int] | None:
    """Return the address and the length of the prefix; None for all but the usual notation, which takes longer."""
    found = _IPV4.fullmatch(text)
    if found is None:
        return None
    first, second, third, fourth, prefix = found.groups()
    length = _IPV4_BITS if prefix is None else int(prefix)
    parts = int(first), int(second), int(third), int(fourth)
    if max(parts) > _BYTE or length > _IPV4_BITS:
        return None
    return parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3], length


def network(text: str) -> Network | None:
    """Return a network in CIDR notation, or an address as the network of its own. Host bits are ignored."""
    usual = _ipv4(text)
    if usual is not None:
        size = 1 << _IPV4_BITS - usual[1]
        first = usual[0] & -size
        return 4, first, first + size - 1
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if found.prefixlen < _MAPPED_BITS:
        return found.version, int(found.network_address), int(found.broadcast_address)
    lowest, highest = _without_mapping(found.network_address), _without_mapping(found.broadcast_address)
    return lowest.version, int(lowest), int(highest)


def _without_mapping(found: _Address) -> _Address:
    """Return an address; for an IPv4 address that is mapped to IPv6 the address itself, which policies name."""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def epoch_seconds(text: str) -> Decimal | None:
    """Return a date as epoch seconds: written so, or as a date in ISO 8601, in UTC where it has no offset.

    As in IAM, the year can have any number of digits, and the day and the time can be left out. Digits alone are epoch
    seconds.
    """
    if _EPOCH.fullmatch(text):
        seconds = Decimal(text)
        return seconds if seconds <= _LAST_EPOCH else None
    found = _DATE.fullmatch(text)
    return None if found is None or text.isdecimal() else _seconds_of(found)


def _seconds_of(date: re.Match[str]) -> Decimal | None:
    year = int(date["year"])
    month, day = (int(date[name] or 1) for name in ("month", "day"))
    hour, minute, second = (int(date[name] or 0) for name in ("hour", "minute", "second"))
    off_hours, off_minutes = (int(date[name] or 0) for name in ("off_hours", "off_minutes"))
    # The calendar repeats after 400 years. ``datetime`` knows the years 1 to 9999 only.
    cycles, year_of_cycle = divmod(year, _CYCLE_YEARS)
    try:
        offset = timezone(timedelta(hours=off_hours, minutes=off_minutes) * (-1 if date["sign"] == "-" else 1))
        moment = datetime(_CYCLE_YEARS + year_of_cycle, month, day, hour, minute, second, tzinfo=offset)
    except ValueError:
        return None
    if year not in _YEARS or off_minutes >= _MINUTES:
        return None
    whole = (moment - _EPOCH_START) // timedelta(seconds=1) + (cycles - 1) * _CYCLE_SECONDS
    return whole + Decimal(f"0.{date['fraction'] or 0}")
