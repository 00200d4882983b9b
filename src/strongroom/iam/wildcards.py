"""Patterns with ``*`` (any characters) and ``?`` (any one character), compiled once and matched in counted steps.

A wildcard is a token of the pattern, not a character of its text. So a ``*`` that stands for itself (``${*}``, or one
in a variable's value) is ``Literal`` text, and no character has a second meaning.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from strongroom.iam.work import Work


class Literal(msgspec.Struct, frozen=True, gc=False):
    """Text of a pattern in which ``*`` and ``?`` stand for themselves."""

    text: str


Pieces: TypeAlias = tuple[str | Literal, ...]
"""A pattern as it was written, in order: a ``str`` can contain wildcards, a ``Literal`` cannot."""

_CHEAP = 128
"""A part of so many characters is searched for in less than one step for each eight characters of text."""

_BLOCK = 16
"""So many characters are counted together where every character takes half a step."""


class _Gapped(msgspec.Struct, frozen=True, gc=False):
    """A part with question marks: runs of text, with exactly one character of any kind between one and the next."""

    runs: tuple[str, ...]
    length: int


class Pattern(msgspec.Struct, frozen=True):
    """A compiled pattern. ``parts`` are what is between its stars. ``length`` is that of the shortest match."""

    parts: tuple[str | _Gapped, ...]
    length: int


class PatternSet:
    """Several patterns, of which a text is to match one. They are compiled when a text is first compared with them.

    Only that changes it. Safe to use from several threads.
    """

    __slots__ = ("_compiled", "_exact", "_written")

    def __init__(self, written: Iterable[Pieces]) -> None:
        self._exact: set[str] = set()
        self._written: list[Pieces] = []
        for pieces in written:
            # Nearly every pattern is one piece of text, and a policy can have a thousand.
            piece = pieces[0] if len(pieces) == 1 else None
            if isinstance(piece, str):
                wild, text = "*" in piece or "?" in piece, piece
            else:
                wild, text = is_wild(pieces), plain(pieces)
            if wild:
                self._written.append(pieces)
            else:
                self._exact.add(text)
        self._compiled: tuple[Pattern, ...] | None = None

    def match(self, text: str, work: Work) -> bool:
        """Tell whether the whole text matches one of the patterns; raises TooMuchWork."""
        if text in self._exact:
            return True
        compiled = self._compiled
        if compiled is None:
            compiled = self._compiled = tuple(map(pattern, self._written))
        return any(matches(each, text, work) for each in compiled)


def is_wild(pieces: Pieces) -> bool:
    """Tell whether a pattern has wildcards. One without them matches only its own text."""
    return any(isinstance(piece, str) and ("*" in piece or "?" in piece) for piece in pieces)


def plain(pieces: Pieces) -> str:
    """Return a pattern's text, for operators without wildcards."""
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


def pattern(pieces: Pieces) -> Pattern:
    """Compile a pattern, in time proportional to its length."""
    if len(pieces) == 1 and isinstance(pieces[0], str) and "?" not in pieces[0]:
        texts = pieces[0].split("*")
        return Pattern(tuple(texts), len(pieces[0]) - len(texts) + 1)
    parts: list[list[list[str]]] = [[[]]]
    for piece in pieces:
        if isinstance(piece, Literal):
            parts[-1][-1].append(piece.text)
            continue
        for starred, part in enumerate(piece.split("*")):
            if starred:
                parts.append([[]])
            for questioned, run in enumerate(part.split("?")):
                if questioned:
                    parts[-1].append([])
                parts[-1][-1].append(run)
    compiled = tuple(_part(["".join(run) for run in part]) for part in parts)
    return Pattern(compiled, sum(map(_length, compiled)))


def _part(runs: list[str]) -> str | _Gapped:
    return runs[0] if len(runs) == 1 else _Gapped(tuple(runs), sum(map(len, runs)) + len(runs) - 1)


def _length(part: str | _Gapped) -> int:
    return len(part) if isinstance(part, str) else part.length


def fields(pieces: Pieces, separator: str, count: int) -> tuple[Pieces, ...] | None:
    """Split a pattern at the first ``count - 1`` separators; None if it has fewer. A literal separator is one too."""
    found: list[list[str | Literal]] = [[]]
    for piece in pieces:
        text, literal = (piece, False) if isinstance(piece, str) else (piece.text, True)
        for index, field in enumerate(text.split(separator, count - len(found))):
            if index:
                found.append([])
            found[-1].append(Literal(field) if literal else field)
    return tuple(map(tuple, found)) if len(found) == count else None


def matches(wanted: Pattern, text: str, work: Work) -> bool:
    """Tell whether the whole text matches; raises TooMuchWork."""
    parts, size = wanted.parts, len(text)
    if wanted.length > size:
        # No part is looked at: a pattern longer than the text costs nothing more.
        work.spend(1)
        return False
    work.spend(1 + (wanted.length >> 5))
    first = parts[0]
    if not _at(first, text, 0, work):
        return False
    if len(parts) == 1:
        return wanted.length == size
    last = parts[-1]
    end = size - _length(last)
    if not _at(last, text, end, work):
        return False
    # The leftmost match of each part between stars leaves most text for the parts after it.
    position = _length(first)
    for part in parts[1:-1]:
        found = _find(part, text, position, end, work)
        if found < 0:
            return False
        position = found + _length(part)
    return True


def _at(part: str | _Gapped, text: str, position: int, work: Work) -> bool:
    if isinstance(part, str):
        return text.startswith(part, position)
    work.spend(len(part.runs) >> 1)
    for run in part.runs:
        if not text.startswith(run, position):
            return False
        position += len(run) + 1
    return True


def _find(part: str | _Gapped, text: str, start: int, end: int, work: Work) -> int:
    """Return where a part is first found in a slice of the text, -1 if nowhere."""
    if isinstance(part, str):
        found = text.find(part, start, end)
        scanned = (end if found < 0 else found) - start
        work.spend(1 + (scanned * min(len(part), _CHEAP) >> 10))
        return found
    return -1 if part.length > end - start else _find_with_gaps(part, text, start, end, work)


def _find_with_gaps(part: _Gapped, text: str, start: int, end: int, work: Work) -> int:
    # Shift-and (Baeza-Yates and Gonnet): bit i of ``state`` says that the part's first i + 1 characters end here.
    weight = 1 + (part.length >> 12)
    work.spend(part.length * weight // 2 + 1)
    places: dict[str, int] = {}
    anything, bit = 0, 1
    for index, run in enumerate(part.runs):
        if index:
            anything |= bit
            bit <<= 1
        for character in run:
            places[character] = places.get(character, 0) | bit
            bit <<= 1
    state, whole = 0, bit >> 1
    for block in range(start, end, _BLOCK):
        work.spend(_BLOCK * weight // 2)
        for at in range(block, min(block + _BLOCK, end)):
            state = (state << 1 | 1) & (places.get(text[at], 0) | anything)
            if state & whole:
                return at + 1 - part.length
    return -1
