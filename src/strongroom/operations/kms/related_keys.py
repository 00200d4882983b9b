"""Related multi-Region keys: what a change of one of them means for the others."""

from typing import NamedTuple

from strongroom.keys import multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.store.protocol import Reader


class KeyVersions(NamedTuple):
    """A key before and after a change."""

    before: KmsKey
    after: KmsKey


def with_relatives(
    reader: Reader, prepared: PreparedMaterial, changed: KeyVersions, new_replica: KmsKey | None = None
) -> list[KeyVersions]:
    """Return a changed key first, then each related key that changes with it.

    ``new_replica`` is a replica that the same transaction adds. If synchronizing changes it once more, it is in the
    list. Raises MaterialMissing if a related key needs a copy of key material that is not prepared.
    """
    before, after = changed
    if before == after or not after.multi_region:
        return [changed]
    in_transaction = {key.locator: key for key in (after, new_replica) if key is not None}

    def find(locator: KeyLocator) -> KmsKey | None:
        return in_transaction.get(locator) or reader.key(locator)

    # If the change makes another key the primary, the key that was the primary until now has what is shared.
    source = find(multi_region.primary_of(after)) if before.is_replica else after
    if source is None:
        return [changed]
    relatives = [key for key in map(find, source.relatives) if key is not None]
    # New imported material can be rotated to once all replicas have it, so what a replica imports or loses matters.
    settled = multi_region.settled(source, relatives)
    copies = prepared.copies(settled, relatives)
    versions = [
        KeyVersions(source, settled),
        *(
            KeyVersions(relative, multi_region.synchronized(relative, settled, copies[relative.locator]))
            for relative in relatives
        ),
    ]
    final = next((each.after for each in versions if each.before.locator == before.locator), after)
    others = (each for each in versions if each.before.locator != before.locator and each.after != each.before)
    return [KeyVersions(before, final), *others]
