"""Lists in one line of a log or message: the first few of things that can be any number."""

from collections.abc import Collection
from itertools import islice


def first_few(names: Collection[object], most: int = 5) -> str:
    """Return the first ``most`` of some names, separated by commas, and how many more there are."""
    shown = ", ".join(str(each) for each in islice(names, most))
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown
