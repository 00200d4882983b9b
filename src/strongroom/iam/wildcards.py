"""Patterns with ``*`` (any characters) and ``?`` (any one character), compiled once and matched in counted steps.

A wildcard is a token of the pattern, not a character of its text. So a ``*`` that stands for itself (``${*}``, or one
in a variable's value) is ``Literal`` text, and no character has a second meaning.
"""

from collections.abc import Iterable, Sequence
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


class _Part(msgspec.Struct, frozen=True):
    """What is between two stars: text, with exactly one character of any kind between one run and the next."""

    runs: tuple[str, ...]
    length: int


class Pattern(msgspec.Struct, frozen=True):
    """A compiled pattern. ``parts`` are what is between its stars. ``length`` is that of the shortest match."""

    parts: tuple[_Part, ...]
    length: int

    @property
    def exact(self) -> str | None:
        """The only text that matches; None for a pattern with wildcards."""
        return self.parts[0].runs[0] if len(self.parts) == 1 and len(self.parts[0].runs) == 1 else None


def plain(pieces: Pieces) -> str:
    """Return a pattern's text, for operators without wildcards."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


def pattern(pieces: Pieces) -> Pattern:
    """Compile a pattern, in time proportional to its length."""
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
    compiled = tuple(_part(tuple("".join(run) for run in part)) for part in parts)
    return Pattern(compiled, sum(part.length for part in compiled))


def _part(runs: tuple[str, ...]) -> _Part:
    return _Part(runs, sum(map(len, runs)) + len(runs) - 1)


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
    first, last = parts[0], parts[-1]
    work.spend((len(first.runs) + len(last.runs) >> 1) + (wanted.length >> 5))
    if len(parts) == 1:
        return first.length == size and _at(first, text, 0)
    end = size - last.length
    if not _at(first, text, 0) or not _at(last, text, end):
        return False
    # The leftmost match of each part between stars leaves most text for the parts after it.
    position = first.length
    for part in parts[1:-1]:
        found = _find(part, text, position, end, work)
        if found < 0:
            return False
        position = found + part.length
    return True


def matches_any(wanted: Sequence[Pattern], text: str, work: Work) -> bool:
    """Tell whether the whole text matches one of several patterns; raises TooMuchWork."""
    return any(matches(each, text, work) for each in wanted)


def patterns(written: Iterable[Pieces]) -> tuple[frozenset[str], tuple[Pattern, ...]]:
    """Compile several patterns: the texts of those without wildcards, which one lookup finds, and the others."""
    compiled = [pattern(each) for each in written]
    exact = frozenset(text for each in compiled if (text := each.exact) is not None)
    return exact, tuple(each for each in compiled if each.exact is None)


def _at(part: _Part, text: str, position: int) -> bool:
    for run in part.runs:
        if not text.startswith(run, position):
            return False
        position += len(run) + 1
    return True


def _find(part: _Part, text: str, start: int, end: int, work: Work) -> int:
    """Return where a part is first found in a slice of the text, -1 if nowhere."""
    if len(part.runs) == 1:
        found = text.find(part.runs[0], start, end)
        scanned = (end if found < 0 else found) - start
        work.spend(1 + (scanned * min(part.length, _CHEAP) >> 10))
        return found
    if part.length > end - start:
        return -1
    return _find_with_gaps(part, text, start, end, work)


def _find_with_gaps(part: _Part, text: str, start: int, end: int, work: Work) -> int:
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
