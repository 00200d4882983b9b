"""Tells of Regions that have keys and are not served any more, because the setting ``regions`` was shortened."""

from collections.abc import Sequence

from strongroom.problems import Problems, Subject
from strongroom.store.protocol import Readable


def unserved_regions(store: Readable, served: Sequence[str]) -> dict[str, int]:
    """Return the Regions with keys that are not among those that are ``served``, with the number of their keys."""
    with store.read() as reader:
        return {region: keys for region, keys in reader.keys_by_region().items() if region not in served}


def report_unserved(store: Readable, served: Sequence[str], problems: Problems) -> None:
    """Report such Regions. No call can use their keys; what was scheduled for them is still done when it is due."""
    unserved = unserved_regions(store, served)
    if not unserved:
        return
    named = ", ".join(f"{region} ({keys} key{'' if keys == 1 else 's'})" for region, keys in sorted(unserved.items()))
    problems.report(
        Subject.REGIONS,
        f"keys of Regions that are not served cannot be used: {named}; add the Regions to `regions` and start again",
    )
