"""Adds and removes seals, and rotates the root key, also while a server runs.

Every change is whole or not there, whenever it is interrupted. To add a seal, the document is replaced. A rotation

1. writes what the next root key needs: a new key file, and the next document beside the present one;
2. commits all domain keys, sealed by the next root key, in one transaction. This is the moment of the change;
3. puts the next document in the place of the present one;
4. overwrites and removes what nothing needs any more.

``finish`` does the last two steps, or only the last, after an interruption. Running servers hold the domain keys, which
stay the same, and notice nothing.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.restored_objects import shared_objects, why_shared
from strongroom.assembly.seal_documents import FileDocuments, SealDocuments, StoredDocuments
from strongroom.assembly.seal_remnants import wipe
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing, while_resealed
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.clock import Clock
from strongroom.crypto.domain_keys import reseal_domain_keys
from strongroom.crypto.seal import SealedDomainKey, SealUnavailableError, UnsealError
from strongroom.crypto.seals.document import (
    MOST_ENTRIES,
    SealDocument,
    SealEntry,
    SealKind,
    root_key_binding,
)
from strongroom.crypto.seals.file import create_key_file
from strongroom.crypto.seals.kms import KmsKeeper
from strongroom.crypto.seals.passphrase import is_approved, new_parameters
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal, new_root_key
from strongroom.crypto.seals.tpm import DEVICE
from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.keys.arns import locator_of
from strongroom.settings import SettingsError
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import AccountScope

logger = logging.getLogger(__name__)

FILE_SEAL = "file"
"""The name of the seal that a deployment begins with."""
_ID_LENGTH = 16
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class SealStatus(msgspec.Struct, frozen=True):
    """A seal as an operator sees it."""

    name: str
    kind: SealKind
    parameters: Mapping[str, str | int]


class SealsStatus(msgspec.Struct, frozen=True):
    """All seals of a deployment. ``opened_by`` is the one that opened for this command; empty if none was needed."""

    generation: int
    deployment: str
    opened_by: str
    seals: Sequence[SealStatus]


class Trial(msgspec.Struct, frozen=True):
    """Whether a seal opens now: ``outcome`` is ``opens``, ``refuses`` or ``unavailable``, ``reason`` says why not."""

    name: str
    outcome: str
    reason: str = ""


class Seals:
    """The seals of an opened data folder."""

    def __init__(  # noqa: PLR0913 - what a seal is made and recorded with
        self,
        folder: DataFolder,
        store: Store,
        unsealing: Unsealing,
        trail: CommandTrail,
        entropy: Entropy,
        token: ConfiguredToken,
        *,
        clock: Clock,
        approved_only: bool = False,
    ) -> None:
        """Change the seals of a folder. With ``approved_only``, passphrases are stretched by an approved algorithm."""
        self._folder = folder
        self._store = store
        self._documents: SealDocuments = StoredDocuments(folder, store) if folder.is_shared else FileDocuments(folder)
        self._unsealing = unsealing
        self._trail = trail
        self._approved_only = approved_only
        self._entropy = entropy
        self._token = token
        self._clock = clock

    def status(self) -> SealsStatus:
        """Return what seals there are; raises UnsealError."""
        document, _ = self._present()
        entries = (
            (_plain_entry(),)
            if document is None
            else tuple(SealStatus(each.name, each.kind, each.parameters) for each in document.entries)
        )
        return SealsStatus(
            generation=1 if document is None else document.generation,
            deployment="" if document is None else document.deployment,
            opened_by=self._unsealing.opened_by,
            seals=entries,
        )

    def test(self, name: str | None) -> list[Trial]:
        """Try to open one seal, or each; raises DataFolderError if there is no such seal."""
        document, _ = self._present()
        if document is None:
            if name not in {None, FILE_SEAL}:
                raise _no_such_seal(name or "")
            return [Trial(FILE_SEAL, "opens")]
        entries = document.entries if name is None else (_required(document, name),)
        return [self._trial(document, each) for each in entries]

    def add(self, name: str, kind: str, parameters: Mapping[str, str], passphrase: str | None) -> None:
        """Add a seal, which is opened once before that; ``passphrase`` is that of a seal of this kind.

        Raises DataFolderError, UnsealError, SealUnavailableError.
        """
        if not _NAME.fullmatch(name):
            raise DataFolderError(f"{name!a} is no name of a seal: it can have lower-case letters, digits and hyphens")
        entry = SealEntry(name, SealKind(kind), dict(parameters))
        if entry.kind is SealKind.TPM:
            entry = replace(entry, parameters={"device": DEVICE, **parameters})
        if passphrase is not None:
            entry = replace(entry, parameters=new_parameters(self._entropy, approved_only=self._approved_only))
            self._unsealing.give_passphrase(name, passphrase)
        event = _event("AddSeal", "seal add", {"seal": entry.name, "kind": entry.kind.value})
        self._change(event, lambda document, root_key: self._add(document, root_key, entry))

    def remove(self, name: str) -> None:
        """Remove a seal, and rotate the root key, so that nothing which the seal has kept opens it any more.

        Raises DataFolderError for the last one, or if there is no such seal; and as ``rotate``.
        """
        document, _ = self._present()
        if document is None:
            raise _only_seal(name) if name == FILE_SEAL else _no_such_seal(name)
        _others(document, name)
        removed = _required(document, name)
        event = _event("RemoveSeal", "seal remove", {"seal": name, "kind": removed.kind.value})
        self._change(event, lambda document, root_key: self._rotate(document, root_key, without=name))
        if removed.kind is SealKind.PKCS11:
            self._destroy_key_of(removed)

    def rotate(self) -> int:
        """Make a new root key, wrapped by each seal; return its generation.

        Raises UnsealError, SealUnavailableError if a seal does not wrap it now.
        """
        self._change(_event("RotateRootKey", "seal rotate", {}), self._rotate)
        return self.status().generation

    def finish(self) -> None:
        """Finish a change that was interrupted; the caller keeps others from making one. Raises OSError."""
        if while_resealed(self._store, self._documents.finish):
            # What the old root key has sealed is in free pages and in the log of the database.
            self._store.scrub()

    def require_approved(self) -> None:
        """Refuse a seal that uses an algorithm which is not approved; raises DataFolderError, UnsealError."""
        document, _ = self._present()
        for each in () if document is None else document.entries:
            if each.kind is SealKind.PASSPHRASE and not is_approved(each.parameters):
                raise DataFolderError(
                    f"seal {each.name!a} stretches its passphrase by {each.parameters['kdf']}, which is not approved, "
                    "and `fips` is set; run: strongroom seal rotate, which then uses PBKDF2"
                )

    def _destroy_key_of(self, removed: SealEntry) -> None:
        """Destroy the key of a removed seal in its token. What it has wrapped opens nothing any more either way."""
        object_id = bytes.fromhex(str(removed.parameters["object"]))
        try:
            if object_id in shared_objects(self._folder, self._store):
                logger.warning("the key of the seal %a stays in the token: %s", removed.name, why_shared(self._folder))
                return
            self._token.destroy_seal_key(object_id)
        except (UnsealError, SealUnavailableError, SettingsError, DataFolderError, KmsError) as error:
            logger.warning("the key of the seal %a is still in the token: %s", removed.name, error)

    # --- changes

    def _change(self, event: OperatorEvent, act: Callable[[SealDocument, RootKey], None]) -> None:
        """Make a change while no other command makes one, and record it."""
        with self._trail.changing():
            self.finish()
            document, root_key = self._present()
            with self._trail.recording(event):
                act(document or self._first_document(root_key), root_key)
                self.finish()

    def _present(self) -> tuple[SealDocument | None, RootKey]:
        """Return the document, None if the root key is in a file alone, and the root key."""
        return while_resealed(self._store, self._opened)

    def _opened(self, sealed: Sequence[SealedDomainKey]) -> tuple[SealDocument | None, RootKey]:
        root_key = self._unsealing.seal(self._folder, sealed).root_key
        document = self._unsealing.document_of(self._folder, root_key.generation)
        if document is not None:
            document.require_authentic(root_key)
        return document, root_key

    def _first_document(self, root_key: RootKey) -> SealDocument:
        """Return a document for a deployment that has a root key in a file alone: the seal ``file`` wraps it."""
        document = SealDocument(deployment=self._entropy(_ID_LENGTH).hex(), generation=root_key.generation, entries=())
        entry = SealEntry(FILE_SEAL, SealKind.FILE, {"file": self._folder.root_key.name})
        return replace(document, entries=(self._wrapped(document, entry, root_key),))

    def _add(self, document: SealDocument, root_key: RootKey, entry: SealEntry) -> None:
        if document.entry(entry.name) is not None:
            raise DataFolderError(f"there is a seal {entry.name!a} already; choose another name, or remove it first")
        if len(document.entries) >= MOST_ENTRIES:
            raise DataFolderError(f"there are {MOST_ENTRIES} seals already; remove one first")
        if entry.kind is SealKind.FILE:
            if any(each.kind is SealKind.FILE for each in document.entries):
                raise DataFolderError("there is a seal of the kind `file` already, and a second one would add nothing")
            entry = self._with_new_key_file(entry, document.generation)
        if entry.kind is SealKind.PKCS11:
            entry = replace(entry, parameters=self._token.create_seal_key(entry.name, self._entropy, self._clock.now()))
        entries = (*document.entries, self._wrapped(document, entry, root_key))
        after = replace(document, entries=entries).authenticated(root_key)
        self._documents.replace(document, after)

    def _rotate(self, document: SealDocument, root_key: RootKey, without: str | None = None) -> None:
        # Another command may have removed a seal before this one had the lock.
        kept = document.entries if without is None else _others(document, without)
        for each in kept:
            self._require_right_passphrase(document, each, root_key)
        after = new_root_key(self._entropy, root_key.generation + 1)
        following = replace(document, generation=after.generation, entries=())
        entries = tuple(self._wrapped(following, self._renewed(each, after.generation), after) for each in kept)
        following = replace(following, entries=entries).authenticated(after)
        self._documents.prepare(following)
        self._reseal(
            RootKeySeal(root_key, self._entropy),
            RootKeySeal(after, self._entropy),
            lambda transaction: self._documents.commit(transaction, document, following),
        )

    def _reseal(self, before: RootKeySeal, after: RootKeySeal, commit: Callable[[Transaction], None]) -> None:
        """Seal all domain keys anew in one transaction; raises DataFolderError if they changed meanwhile."""
        with self._store.read() as reader:
            sealed = reader.domain_keys()
        resealed = reseal_domain_keys(sealed, before, after)

        def act(transaction: Transaction) -> None:
            if transaction.domain_keys() != sealed:
                raise DataFolderError("the domain keys changed meanwhile; run this again")
            for each in resealed:
                transaction.replace_domain_key(each)
            commit(transaction)

        self._store.write(act, AccountScope(""))

    def _require_right_passphrase(self, document: SealDocument, entry: SealEntry, root_key: RootKey) -> None:
        """Refuse a passphrase that does not open a seal now: wrapping with it would change the passphrase unnoticed.

        Raises UnsealError.
        """
        if entry.kind is not SealKind.PASSPHRASE:
            return
        try:
            _require_equal(self._unsealing.open_entry(self._folder, document, entry).key, root_key.key)
        except UnsealError as error:
            raise UnsealError(f"seal {entry.name!a}: {error}") from None

    def _renewed(self, entry: SealEntry, generation: int) -> SealEntry:
        """Return a seal as the next generation has it: with a new key file, or a passphrase with a new salt."""
        if entry.kind is SealKind.FILE:
            return self._with_new_key_file(entry, generation)
        if entry.kind is SealKind.PASSPHRASE:
            return replace(entry, parameters=new_parameters(self._entropy, approved_only=self._approved_only))
        return entry

    def _with_new_key_file(self, entry: SealEntry, generation: int) -> SealEntry:
        """Return a seal with a key file of its own, made now."""
        name = f"root-{generation}.key"
        path = self._folder.key_file(name)
        if path.exists():
            # A change that was interrupted, or a seal that was removed, has left it: nothing needs it.
            wipe(path)
        create_key_file(path, self._entropy)
        return replace(entry, parameters={"file": name})

    def _wrapped(self, document: SealDocument, entry: SealEntry, root_key: RootKey) -> SealEntry:
        """Return a seal with the root key, wrapped, and opened once to see that it comes back."""
        keeper = self._unsealing.keeper(self._folder, document.deployment, entry)
        bound_to = root_key_binding(document, entry)
        try:
            wrapped = keeper.wrap(root_key.key, bound_to)
            if isinstance(keeper, KmsKeeper):
                self._require_foreign(keeper)
            _require_equal(keeper.unwrap(wrapped, bound_to), root_key.key)
        except UnsealError as error:
            raise UnsealError(f"seal {entry.name!a}: {error}") from None
        except SealUnavailableError as error:
            raise SealUnavailableError(f"seal {entry.name!a}: {error}") from None
        return replace(entry, wrapped=wrapped)

    def _require_foreign(self, keeper: KmsKeeper) -> None:
        """Refuse a KMS key of this deployment, which could never open its own seal; raises UnsealError."""
        try:
            locator = locator_of(keeper.used_key)
        except ValueError:
            return
        with self._store.read() as reader:
            if reader.key(locator) is not None:
                raise UnsealError(
                    f"{keeper.used_key} is a key of this server, which has to be unsealed before it can be used"
                )

    def _trial(self, document: SealDocument, entry: SealEntry) -> Trial:
        try:
            document.require_authentic(self._unsealing.open_entry(self._folder, document, entry))
        except UnsealError as error:
            return Trial(entry.name, "refuses", str(error))
        except SealUnavailableError as error:
            return Trial(entry.name, "unavailable", str(error))
        return Trial(entry.name, "opens")


def _require_equal(given_back: bytes, wrapped: bytes) -> None:
    if given_back != wrapped:
        raise UnsealError("it does not give back what it has wrapped")


def _event(name: str, command: str, details: Mapping[str, object]) -> OperatorEvent:
    return OperatorEvent(name=name, command=command, source=KEY_SOURCE, details=details)


def _plain_entry() -> SealStatus:
    return SealStatus(FILE_SEAL, SealKind.FILE, {"file": "root.key"})


def _required(document: SealDocument, name: str) -> SealEntry:
    entry = document.entry(name)
    if entry is None:
        raise _no_such_seal(name)
    return entry


def _others(document: SealDocument, name: str) -> tuple[SealEntry, ...]:
    """Return all seals but one; raises DataFolderError if there is no such seal, or no other one that is no TPM's.

    When the machine of a TPM breaks, or starts another kernel, nothing would open any more, and no backup.
    """
    _required(document, name)
    if len(document.entries) == 1:
        raise _only_seal(name)
    others = tuple(each for each in document.entries if each.name != name)
    if all(each.kind is SealKind.TPM for each in others):
        raise DataFolderError(
            f"{name!a} is the only seal that opens on another machine; add one of the kind `passphrase` or `kms` first"
        )
    return others


def _only_seal(name: str) -> DataFolderError:
    return DataFolderError(f"{name!a} is the only seal: without it nothing would open; add another one first")


def _no_such_seal(name: str) -> DataFolderError:
    return DataFolderError(f"there is no seal {name!a}; strongroom seal status shows those that there are")
