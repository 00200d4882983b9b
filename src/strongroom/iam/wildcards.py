"""Matching with ``*`` and ``?``. The time is at most proportional to the product of both lengths, for any pattern.

A pattern can contain ``*`` and ``?`` that stand for themselves (``${*}``, or in a variable's value). ``literal`` writes
those as private-use code points, which match the real characters.
"""

_STAR, _QUESTION = "\ue000", "\ue001"
_TO_LITERAL = str.maketrans({"*": _STAR, "?": _QUESTION})


def literal(text: str) -> str:
    """Return text in a form that matches only itself in a pattern."""
    return text.translate(_TO_LITERAL)


def plain(pattern: str) -> str:
    """Return a pattern's text, for operators without wildcards."""
    return pattern.replace(_STAR, "*").replace(_QUESTION, "?")


def glob(pattern: str, text: str) -> bool:
    """Tell whether the whole text matches: ``*`` any characters, ``?`` any one character."""
    if _STAR in pattern or _QUESTION in pattern:
        text = literal(text)
    parts = pattern.split("*")
    if len(parts) == 1:
        return len(pattern) == len(text) and _at(pattern, text, 0)
    first, last = parts[0], parts[-1]
    end = len(text) - len(last)
    if end < len(first) or not _at(first, text, 0) or not _at(last, text, end):
        return False
    # The leftmost match of each part between stars leaves most text for the parts after it.
    position = len(first)
    for part in parts[1:-1]:
        found = _find(part, text, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _at(part: str, text: str, position: int) -> bool:
    if "?" not in part:
        return text.startswith(part, position)
    piece = text[position : position + len(part)]
    return len(piece) == len(part) and all(want in ("?", have) for want, have in zip(part, piece, strict=True))


def _find(part: str, text: str, start: int, end: int) -> int:
    if "?" not in part:
        return text.find(part, start, end)
    # Shift-and (Baeza-Yates and Gonnet): bit i of ``state`` says that the part's first i + 1 characters end here.
    places: dict[str, int] = {}
    for i, character in enumerate(part):
        places[character] = places.get(character, 0) | 1 << i
    anything = places.pop("?")
    state, whole = 0, 1 << len(part) - 1
    for at in range(start, end):
        state = (state << 1 | 1) & (places.get(text[at], 0) | anything)
        if state & whole:
            return at + 1 - len(part)
    return -1
