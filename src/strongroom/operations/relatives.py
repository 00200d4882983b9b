"""Keeps related multi-Region keys in step: what the primary shares is written to all of them, in one transaction."""

from strongroom.crypto.protocol import Vault
from strongroom.keys import multi_region
from strongroom.keys.kms_key import KmsKey
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Transaction


def save_with_relatives(transaction: Transaction, vault: Vault, before: KmsKey, after: KmsKey) -> None:
    """Write a changed key, and what it shares to its relatives; a replica shares nothing."""
    transaction.save_key(before, after)
    if before.is_replica:
        return
    for where in after.relatives:
        relative = transaction.key(where)
        if relative is not None:
            synchronized = in_step(vault, relative, after)
            if synchronized != relative:
                transaction.save_key(relative, synchronized)


def in_step(vault: Vault, relative: KmsKey, source: KmsKey) -> KmsKey:
    """Return a key with the shared properties of a relative, its key material held for the key's own Region."""
    tokens = {
        material.material_id: vault.replicate(material.token, binding_of(source, material.material_id), relative.region)
        for material in multi_region.not_yet_in(relative, source)
        if material.token is not None
    }
    return multi_region.synchronized(relative, source, tokens)
