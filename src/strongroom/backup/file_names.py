"""Names of dated backups in a folder, and which of them retention removes. Pure."""

import re
import time
from collections.abc import Iterable, Mapping

from strongroom.backup.manifest import DEPLOYMENT_LENGTH

ENCRYPTED_SUFFIX = ".backup.age"
PLAIN_SUFFIX = ".backup"

_NAME = re.compile(
    rf"strongroom-([0-9a-f]{{{DEPLOYMENT_LENGTH}}})-(\d{{8}}T\d{{6}}Z)(?:-(\d{{1,4}}))?\.backup(?:\.age)?"
)


def dated_name(deployment: str, now: float, *, encrypted: bool, again: int = 0) -> str:
    """Return the name of a backup made ``now``; ``again`` counts those of the same second."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    suffix = ENCRYPTED_SUFFIX if encrypted else PLAIN_SUFFIX
    return f"strongroom-{deployment}-{at}{f'-{again}' if again else ''}{suffix}"


def too_many(names: Iterable[str], deployment: str, keep: int, newest: str, ranks: Mapping[str, int]) -> list[str]:
    """Return the names of a deployment's backups that are not among the ``keep`` newest, the oldest first.

    ``ranks`` are numbers of those that the audit log knows: the higher, the newer, whatever their dates say, as a clock
    may have been set. Names that it does not know are older, in the order of their dates: another node made them, or
    their records were archived. Other files are never returned, nor is ``newest``, the backup that is being made.
    """
    dated = []
    for name in names:
        found = _NAME.fullmatch(name)
        if found is not None and found[1] == deployment and name != newest:
            dated.append((name in ranks, ranks.get(name, 0), found[2], int(found[3] or 0), name))
    dated.sort()
    return [name for *_, name in dated[: max(0, len(dated) - (keep - 1))]]
