"""Keeps related multi-Region keys in step: what the primary shares is written to all of them, in one transaction."""

from strongroom.crypto.protocol import Vault
from strongroom.keys import multi_region
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.kms.key_material import Removed, removed
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Transaction


def save_with_relatives(transaction: Transaction, vault: Vault, before: KmsKey, after: KmsKey) -> list[Removed]:
    """Write a changed key, and what that means for its relatives.

    Returns what the vault is to ``destroy`` when the transaction has been committed.
    """
    transaction.save_key(before, after)
    gone = removed(before, after)
    if not after.multi_region:
        return gone
    # Until this change is known to all, the primary is whoever was it before.
    source = transaction.key(multi_region.primary_of(after)) if before.is_replica else after
    if source is None:
        return gone
    relatives = [key for key in map(transaction.key, source.relatives) if key is not None]
    # What a replica imports, or loses, decides whether new material can be rotated to.
    settled = multi_region.settled(source, relatives)
    if settled != source:
        transaction.save_key(source, settled)
    for relative in relatives:
        synchronized = in_step(vault, relative, settled)
        if synchronized != relative:
            transaction.save_key(relative, synchronized)
            gone += removed(relative, synchronized)
    return gone


def in_step(vault: Vault, relative: KmsKey, source: KmsKey) -> KmsKey:
    """Return a key with the shared properties of a relative, its key material held for the key's own Region."""
    tokens = {
        material.material_id: vault.replicate(material.token, binding_of(source, material.material_id), relative.region)
        for material in multi_region.not_yet_in(relative, source)
        if material.token is not None
    }
    return multi_region.synchronized(relative, source, tokens)
