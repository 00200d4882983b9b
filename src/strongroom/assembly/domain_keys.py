"""Opens the domain keys of a data folder, and makes those that are missing."""

from collections.abc import Sequence

import msgspec

from strongroom.assembly.data_folder import DataFolder, DataFolderError, left_by_earlier_start, served_before
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing, not_its_root_key
from strongroom.crypto.domain_keys import IAM_SCOPE, DomainKeys, create_domain_key
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.crypto.seals.file import create_root_key
from strongroom.crypto.seals.root_key import RootKeySeal, generation_of
from strongroom.entropy import Entropy
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope

_FIRST_VERSION = 1


class Protection(msgspec.Struct, frozen=True):
    """What a server is told to keep the domain keys of Regions in: a token, or this process.

    ``required`` is True for the process that has locked the folder: domain keys that are elsewhere are refused then.
    """

    token: ConfiguredToken
    in_token: bool = False
    required: bool = False


def open_domain_keys(
    folder: DataFolder,
    store: Store,
    regions: Sequence[str],
    unsealing: Unsealing,
    entropy: Entropy,
    protection: Protection,
) -> DomainKeys:
    """Unseal the domain keys, and make one for each of ``regions`` that has none.

    Raises DataFolderError if the root key is missing, UnsealError if it is not the one that sealed them or no seal
    opens, SealUnavailableError if one may later, or if a token is needed that does not answer.
    """
    with store.read() as reader:
        sealed = reader.domain_keys()
        known = {each.scope for each in sealed}
        missing = [scope for scope in (IAM_SCOPE, *regions) if scope not in known]
        used = {*reader.keys_by_region(), IAM_SCOPE} if known and missing else set()
    try:
        seal = open_seal(folder, sealed, unsealing, entropy)
    except UnsealError:
        if not _were_resealed(store, sealed):
            raise
        return open_domain_keys(folder, store, regions, unsealing, entropy, protection)
    lost = used.intersection(missing)
    if lost:
        # A new one could open no secret and no key, and would find every row changed.
        raise DataFolderError(f"`{folder.database}` has lost its domain key `{min(lost)}`; restore it from a backup")
    try:
        domain_keys = DomainKeys(sealed, seal, entropy, protection.token.wrapper(entropy))
    except UnsealError as error:
        problem = f"{not_its_root_key(folder)}; restore the file that belongs to it"
        raise UnsealError(f"{problem} ({error})") from None
    if protection.required:
        _require_protection(folder, sealed, domain_keys, protection)
    if missing:
        sealed = _add_missing(store, _created(missing, seal, entropy, protection))
        domain_keys = DomainKeys(sealed, seal, entropy, protection.token.wrapper(entropy))
    return domain_keys


def _created(missing: Sequence[str], seal: Seal, entropy: Entropy, protection: Protection) -> list[SealedDomainKey]:
    """Make domain keys, those of Regions in the token if they belong there; raises as ``open_domain_keys``."""
    here = [scope for scope in missing if scope == IAM_SCOPE or not protection.in_token]
    there = [scope for scope in missing if scope not in here]
    made = [create_domain_key(scope, _FIRST_VERSION, seal, entropy) for scope in here]
    return made if not there else [*made, *protection.token.create(there, _FIRST_VERSION, seal, entropy)]


def _require_protection(
    folder: DataFolder, sealed: Sequence[SealedDomainKey], domain_keys: DomainKeys, protection: Protection
) -> None:
    """Refuse domain keys that are elsewhere than the settings say, and a token that lacks some.

    Raises DataFolderError, and as ``ConfiguredToken.require_all``.
    """
    regions = {each.scope for each in sealed if each.scope != IAM_SCOPE}
    in_token = {each.scope for each in domain_keys.in_token}
    if in_token and not protection.in_token:
        raise DataFolderError(
            f"`{folder.database}` has its domain keys in a hardware token; set `key-protection` to pkcs11-root"
        )
    if protection.in_token and regions - in_token:
        raise DataFolderError(
            f"`{folder.database}` was made with `key-protection` software, and its domain keys are not in a token; "
            "use that setting, or a new data folder"
        )
    if in_token:
        protection.token.require_all(domain_keys.in_token)


def _were_resealed(store: Store, sealed: Sequence[SealedDomainKey]) -> bool:
    """Tell whether a command has rotated the root key since domain keys were read."""
    with store.read() as reader:
        now = reader.domain_keys()
    return bool(sealed and now) and generation_of(sealed[0]) != generation_of(now[0])


def open_seal(
    folder: DataFolder, sealed: Sequence[SealedDomainKey], unsealing: Unsealing, entropy: Entropy
) -> RootKeySeal:
    """Return the seal of the root key, made now at the first start; raises as ``open_domain_keys`` does."""
    if not sealed:
        _require_first_start(folder)
        if not folder.seal.exists() and not folder.root_key.exists() and not folder.root_key.is_symlink():
            create_root_key(folder.root_key, entropy)
    return unsealing.seal(folder, sealed)


def _add_missing(store: Store, new: Sequence[SealedDomainKey]) -> list[SealedDomainKey]:
    """Store new domain keys of scopes that have none yet; return all stored ones, sealed."""

    def add_if_missing(transaction: Transaction) -> list[SealedDomainKey]:
        stored = transaction.domain_keys()
        if stored and generation_of(stored[0]) != generation_of(new[0]):
            raise DataFolderError("the root key was rotated meanwhile; run this again")
        known = {each.scope for each in stored}
        for each in new:
            if each.scope not in known:
                transaction.add_domain_key(each)
        return transaction.domain_keys()

    return store.write(add_if_missing, AccountScope(""))


def _require_first_start(folder: DataFolder) -> None:
    """Refuse a database without domain keys in a folder that was served before; raises DataFolderError.

    A first start that was interrupted may have made the root key. It makes the domain keys before the node's id, and
    the audit log last.
    """
    left = left_by_earlier_start(folder)
    if left is not None and left != folder.root_key:
        raise served_before(folder, "has no keys", left)
