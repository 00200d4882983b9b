"""Which Regions a process opens, and which have keys and are not served any more.

Nodes that share a database may each serve some of its Regions: each opens the domain keys of its own Regions alone. In
a database of one data folder, all are opened, also those of Regions that were taken out of the setting ``regions``:
what was scheduled for their keys is still done.
"""

from collections.abc import Collection

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.problems import Problems, Subject
from strongroom.settings import Settings
from strongroom.store.protocol import Readable


def opened_scopes(settings: Settings) -> Collection[str] | None:
    """Return the scopes whose domain keys are opened with these settings; None for all."""
    return frozenset((IAM_SCOPE, *settings.regions)) if settings.is_on_postgresql else None


def unserved_regions(store: Readable, served: Collection[str]) -> dict[str, int]:
    """Return the Regions with keys that are not among those that are ``served``, with the number of their keys."""
    with store.read() as reader:
        return {region: keys for region, keys in reader.keys_by_region().items() if region not in served}


def report_unserved(store: Readable, settings: Settings, problems: Problems) -> None:
    """Report such Regions. No call can use their keys; what was scheduled for them is still done when it is due.

    Of a shared database, nothing is reported: other nodes may serve what this one does not.
    """
    if opened_scopes(settings) is not None:
        return
    unserved = unserved_regions(store, settings.regions)
    if not unserved:
        return
    named = ", ".join(f"{region} ({keys} key{'' if keys == 1 else 's'})" for region, keys in sorted(unserved.items()))
    problems.report(
        Subject.REGIONS,
        f"keys of Regions that are not served cannot be used: {named}; add the Regions to `regions` and start again",
    )
