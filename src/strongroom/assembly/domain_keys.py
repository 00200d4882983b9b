"""Opens the domain keys of a data folder, and makes those that are missing."""

import logging
from collections.abc import Collection, Mapping, Sequence

import msgspec

from strongroom.assembly.data_folder import DataFolder, DataFolderError, left_by_earlier_start, served_before
from strongroom.assembly.protections import FULL_DEPTH, SOFTWARE, newest_protection
from strongroom.assembly.tokens import Announce, ConfiguredToken
from strongroom.assembly.unsealing import Unsealing, not_its_root_key, while_resealed
from strongroom.crypto.domain_keys import FIRST_VERSION, IAM_SCOPE, DomainKeys, create_domain_key
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.crypto.seals.file import create_root_key
from strongroom.crypto.seals.root_key import RootKeySeal, generation_of
from strongroom.entropy import Entropy
from strongroom.settings import KeyProtection
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope

logger = logging.getLogger(__name__)

_STAYS = "keys that were made in the token do not leave it, so set it back, or restore a backup from before the move"


class KeysExistError(DataFolderError):
    """Another node has made the first keys of the database in the meantime."""


class Protection(msgspec.Struct, frozen=True):
    """What new domain keys of Regions are to protect: see the setting ``key_protection``.

    ``required`` is True for the process that has locked the folder: the token must have all that are in it.
    """

    token: ConfiguredToken
    kind: KeyProtection = SOFTWARE
    required: bool = False


def open_domain_keys(  # noqa: PLR0913 - what opens them, and where they are
    folder: DataFolder,
    store: Store,
    regions: Sequence[str],
    unsealing: Unsealing,
    entropy: Entropy,
    protection: Protection,
    *,
    now: float | None = None,
    scopes: Collection[str] | None = None,
) -> DomainKeys:
    """Unseal the domain keys, and make one for each of ``regions`` that has none, at ``now`` in epoch seconds.

    Those of ``scopes`` alone are unsealed, unless that is None; they include ``iam`` and ``regions``.
    Raises DataFolderError if the root key is missing, UnsealError if it is not the one that sealed them or no seal
    opens, SealUnavailableError if one may later, or if a token is needed that does not answer.
    """
    sealed, seal = while_resealed(store, lambda found: (found, open_seal(folder, found, unsealing, entropy)))
    known = {each.scope for each in sealed}
    missing = [scope for scope in (IAM_SCOPE, *regions) if scope not in known]
    if known and missing:
        _require_unused(folder, store, missing)
    try:
        domain_keys = DomainKeys(sealed, seal, entropy, protection.token.wrapper(entropy), scopes)
    except UnsealError as error:
        problem = f"{not_its_root_key(folder)}; restore the file that belongs to it"
        raise UnsealError(f"{problem} ({error})") from None
    if protection.required:
        _require_protection(domain_keys, protection)
    if missing:
        versions = dict.fromkeys(missing, FIRST_VERSION)
        new = create_domain_keys(versions, seal, protection, entropy, now)
        sealed = _add_missing(folder, store, new, first=not sealed)
        domain_keys = DomainKeys(sealed, seal, entropy, protection.token.wrapper(entropy), scopes)
    if protection.required and FULL_DEPTH in newest_protection(domain_keys, regions).values():
        protection.token.tell_of_full_depth()
    return domain_keys


def _require_unused(folder: DataFolder, store: Store, missing: Sequence[str]) -> None:
    """Refuse to go on without domain keys that the database must have had; raises DataFolderError."""
    with store.read() as reader:
        # Another node may have made some since, and keys under them.
        there = {each.scope for each in reader.domain_keys()}
        lost = {*reader.keys_by_region(), IAM_SCOPE}.intersection(missing) - there
    if lost:
        # A new one could open no secret and no key, and would find every row changed.
        raise DataFolderError(f"{folder.database_name} has lost its domain key `{min(lost)}`; restore it from a backup")


def create_domain_keys(
    versions: Mapping[str, int],
    seal: Seal,
    protection: Protection,
    entropy: Entropy,
    now: float | None,
    announce: Announce | None = None,
) -> list[SealedDomainKey]:
    """Make domain keys of these scopes and versions, those of Regions in the token if they belong there.

    ``announce`` and what is raised are as in ``ConfiguredToken.create``.
    """
    in_software = protection.kind == SOFTWARE
    there = {scope: version for scope, version in versions.items() if scope != IAM_SCOPE and not in_software}
    here = {scope: version for scope, version in versions.items() if scope not in there}
    made = [create_domain_key(scope, version, seal, entropy, now) for scope, version in here.items()]
    return (
        made if not there else [*made, *protection.token.create(there, protection.kind, seal, entropy, now, announce)]
    )


def _require_protection(domain_keys: DomainKeys, protection: Protection) -> None:
    """Refuse a token that lacks domain keys; tell of new ones that are elsewhere than the settings say.

    Raises as ``ConfiguredToken.require_all``.
    """
    if domain_keys.in_token:
        protection.token.require_all(domain_keys.in_token)
    regions = sorted({scope for scope, _ in domain_keys.versions()} - {IAM_SCOPE})
    found = newest_protection(domain_keys, regions)
    for kind in dict.fromkeys(found.values()):
        if kind != protection.kind:
            logger.warning(
                "`key-protection` is %s, and that of the keys in %s is %s; %s",
                protection.kind,
                ", ".join(region for region, each in found.items() if each == kind),
                kind,
                _STAYS if kind == FULL_DEPTH else "to move them, run: strongroom domain-keys rotate",
            )


def open_seal(
    folder: DataFolder, sealed: Sequence[SealedDomainKey], unsealing: Unsealing, entropy: Entropy
) -> RootKeySeal:
    """Return the seal of the root key, made now at the first start; raises as ``open_domain_keys`` does."""
    if not sealed:
        _require_first_start(folder)
        if not folder.seal.exists() and not folder.root_key.exists() and not folder.root_key.is_symlink():
            create_root_key(folder.root_key, entropy)
    return unsealing.seal(folder, sealed)


def _add_missing(
    folder: DataFolder, store: Store, new: Sequence[SealedDomainKey], *, first: bool
) -> list[SealedDomainKey]:
    """Store new domain keys of scopes that have none yet; return all stored ones, sealed.

    If they are to be the ``first`` ones, and are not, raises KeysExistError.
    """

    def add_if_missing(transaction: Transaction) -> list[SealedDomainKey]:
        stored = transaction.domain_keys()
        if stored and first:
            raise KeysExistError(
                f"the keys of {folder.database_name} were made in the meantime by another process; to serve it here "
                "too, bring the root key or seal of that node"
            )
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
