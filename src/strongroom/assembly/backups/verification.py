"""Checks a backup: every hash and count, who made it, and, with its domain keys, whether all of it opens."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from itertools import islice
from typing import Any, BinaryIO

import msgspec
from msgspec.structs import replace

from strongroom.assembly.backups.root_key_source import OpenedRootKey, RootKeySource
from strongroom.assembly.backups.streams import Progress, plaintext_of
from strongroom.assembly.protections import ROOT_DEPTH, protection_of
from strongroom.assembly.tokens import ConfiguredToken, key_backend_of
from strongroom.assembly.unsealing import Unsealing
from strongroom.backup.blocks import BackupError, Row
from strongroom.backup.manifest import DOMAIN_KEYS, SEAL_DOCUMENT, SignedManifest
from strongroom.backup.reader import BackupReader
from strongroom.crypto.age.stream import Decryption
from strongroom.crypto.audit_key import AuditKey, AuditPublicKey
from strongroom.crypto.binding import AUDIT_KEY_BINDING, access_key_binding, xks_credential_binding
from strongroom.crypto.domain_keys import DomainKeys, OpenDomainKey, seal_domain_keys, unseal_domain_keys
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import Seal, SealedDomainKey, SealUnavailableError, UnsealError
from strongroom.crypto.seals.root_key import temporary_seal
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.entropy import Entropy
from strongroom.keys.arns import key_arn
from strongroom.keys.specs import KeySpec
from strongroom.settings import Settings
from strongroom.store.quarantine import material_record, printable
from strongroom.store.sql.row_guard import UNREADABLE_ERRORS
from strongroom.store.sql.sections import TableReader

_MOST_SECRETS = 10_000
"""The most rows of a section whose rows are kept in memory: domain keys, audit keys."""

_MOST_SECRET_BYTES = 64 << 20
_MOST_DAMAGED = 1000
_UNREADABLE = (*UNREADABLE_ERRORS, OverflowError)
_BATCH = 1000
_SECRETS = (DOMAIN_KEYS, SEAL_DOCUMENT, "domain_key", "audit_key", "audit_checkpoint")
"""The sections that come before all others."""


class Origin(StrEnum):
    """What shows who made a backup."""

    ROOT_KEY = "root key"
    """The root key opens the domain keys in it, and so the audit key that signed it."""
    PUBLIC_KEY = "audit public key"
    """The audit public key that was given verifies its signature."""
    UNKNOWN = "unknown"
    """Nothing: anyone could have made it."""


class OpenedContent(msgspec.Struct, frozen=True):
    """What domain keys have opened.

    ``opened`` counts wrapped key material and secrets, ``elsewhere`` material that is kept in a custom key store, or
    that only a hardware token opens which is not set. ``damaged`` names what did not open or is not as it was written,
    at most a thousand; ``damaged_count`` counts all.
    """

    opened: int
    elsewhere: int
    damaged: Sequence[str]
    damaged_count: int

    def with_damaged(self, more: Sequence[str]) -> "OpenedContent":
        """Return this with more damaged records."""
        known = set(self.damaged)
        new = [each for each in more if each not in known]
        damaged = [*self.damaged, *new][:_MOST_DAMAGED]
        return replace(self, damaged=damaged, damaged_count=self.damaged_count + len(new))


class VerifiedBackup(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a verification.

    ``audit_key`` and ``domain_keys`` are those of the backup, ``content`` is what they opened: None where there was no
    root key, and no domain keys in the backup. ``root_key`` is None if nothing has opened it. If domain keys in the
    backup were taken because of that, ``closed_seals`` says why no seal in the backup opens.
    """

    signed: SignedManifest
    origin: Origin
    audit_key: AuditPublicKey | None
    domain_keys: Sequence[OpenDomainKey] | None
    content: OpenedContent | None
    root_key: OpenedRootKey | None = None
    closed_seals: str = ""


def verify_backup(  # noqa: PLR0913 - a file, and what there is to check it with
    file: BinaryIO,
    decryption: Decryption | None,
    root_key: RootKeySource | None,
    public_key: AuditPublicKey | None,
    entropy: Entropy,
    progress: Progress,
    *,
    open_all: bool = True,
) -> VerifiedBackup:
    """Read all of a backup, from its beginning; call ``progress`` with the bytes of the file that were read.

    ``root_key`` is where the root key comes from, None to do without. Without ``open_all``, only the domain keys and
    the audit key are opened.

    Raises BackupError if it is damaged or was not made by the deployment of the keys, UnsealError if the root key is
    not that of the backup, AgeError if it cannot be decrypted.
    """
    with closing(_Content(None, entropy, root_key)) as content:
        return _verified(file, decryption, public_key, content, progress, open_all=open_all)


def _verified(
    file: BinaryIO,
    decryption: Decryption | None,
    public_key: AuditPublicKey | None,
    content: "_Content",
    progress: Progress,
    *,
    open_all: bool,
) -> VerifiedBackup:
    position = 0
    file.seek(0)
    with plaintext_of(file, decryption) as read:
        reader = BackupReader(read)
        for section in reader.sections():
            for batch in section.batches:
                if open_all or section.name in _SECRETS:
                    content.read(section.name, section.columns, batch)
                before, position = position, file.tell()
                progress(position - before, 0)
        signed = reader.signed_manifest
    vault = content.vault()
    audit_key = None if vault is None else vault.audit_key
    for each in (audit_key, public_key):
        if each is not None and not signed.is_signed_by(each.verifies):
            raise BackupError("the manifest of the backup has no valid signature: it was altered, or made elsewhere")
    return VerifiedBackup(
        signed=signed,
        origin=_origin_of(content.root_key, public_key),
        audit_key=audit_key or public_key,
        domain_keys=None if vault is None else vault.opened_keys,
        content=None if vault is None or not open_all else content.result(),
        root_key=content.root_key,
        closed_seals=content.closed_seals,
    )


def _origin_of(root_key: OpenedRootKey | None, public_key: AuditPublicKey | None) -> Origin:
    if root_key is not None:
        return Origin.ROOT_KEY
    return Origin.UNKNOWN if public_key is None else Origin.PUBLIC_KEY


def open_everything(
    tables: TableReader, seal: Seal, token: ConfiguredToken, entropy: Entropy, progress: Progress
) -> OpenedContent:
    """Open all that is wrapped in a database; call ``progress`` with rows. Raises BackupError, UnsealError."""
    content = _Content(seal, entropy, token=token)
    sizes = tables.tables()
    total = sum(each.rows for each in sizes)
    for size in sizes:
        rows = iter(tables.rows(size.head.name))
        while batch := list(islice(rows, _BATCH)):
            content.read(size.head.name, size.head.columns, batch)
            progress(len(batch), total)
    return content.result()


class _Vault:
    """The domain keys of a backup, ready to open what they wrap."""

    def __init__(
        self,
        opened: Sequence[OpenDomainKey],
        wrapped_audit_key: bytes,
        token: ConfiguredToken,
        entropy: Entropy,
    ) -> None:
        seal = temporary_seal(entropy)
        sealed = seal_domain_keys(opened, seal)
        domain_keys = DomainKeys(sealed, seal, entropy, token.wrapper(entropy))
        self.without_token = {
            each.scope: protection_of(each) for each in opened if each.object_id is not None and not token.is_set
        }
        """The Regions that need a token which is not set, and how."""
        self.opened_keys = opened
        self.secrets = ServiceSecrets(domain_keys)
        self.backend = key_backend_of(token, domain_keys, entropy)
        self.audit_key = AuditKey(self.secrets.unwrap(wrapped_audit_key, AUDIT_KEY_BINDING)).public()


class _Content:
    """What a verification keeps of a backup while it reads.

    Of keys it keeps only the specs other than SYMMETRIC_DEFAULT, some hundred bytes each: material is bound to them.
    """

    def __init__(
        self,
        seal: Seal | None,
        entropy: Entropy,
        source: RootKeySource | None = None,
        token: ConfiguredToken | None = None,
    ) -> None:
        self._seal = seal
        if token is None:
            token = ConfiguredToken(Unsealing(Settings(), entropy) if source is None else source.unsealing)
        self._token = token
        self._source = source
        self._entropy = entropy
        self._secrets: dict[str, list[dict[str, Any]]] = {}
        self._kept = 0
        self._vault: _Vault | None = None
        self._tried = False
        self._specs: dict[tuple[str, str, str], KeySpec] = {}
        self._elsewhere: set[tuple[str, str, str]] = set()
        self.root_key: OpenedRootKey | None = None
        self.closed_seals = ""
        self.opened = 0
        self.elsewhere = 0
        self.damaged: list[str] = []
        self.damaged_count = 0

    def close(self) -> None:
        """End the connection to a token."""
        self._token.close()

    def read(self, name: str, columns: Sequence[str], batch: Iterable[Row]) -> None:
        """Take rows of a section, and open what is wrapped in them; raises BackupError, UnsealError."""
        if name in _SECRETS:
            kept = self._secrets.setdefault(name, [])
            rows = [dict(zip(columns, row, strict=True)) for row in batch]
            kept += rows
            self._kept += sum(len(each) for row in rows for each in row.values() if isinstance(each, str | bytes))
            if len(kept) > _MOST_SECRETS or self._kept > _MOST_SECRET_BYTES:
                raise BackupError(f"the backup has more than {_MOST_SECRETS} rows in `{name}`, or too large ones")
            return
        judge = {
            "kms_key": self._note_key,
            "key_material": self._open_material,
            "access_key": self._open_access_key,
            "xks_proxy_credential": self._open_xks_credential,
        }
        if name in judge and (vault := self.vault()) is not None:
            for row in batch:
                try:
                    judge[name](vault, dict(zip(columns, row, strict=True)))
                except _UNREADABLE:
                    self._note_damage(f"a record in `{name}`")

    def result(self) -> OpenedContent:
        """Return what was opened so far."""
        return OpenedContent(self.opened, self.elsewhere, self.damaged, self.damaged_count)

    def _seal_document(self) -> bytes | None:
        """Return the seal document in the backup, None if there is none; raises BackupError."""
        rows = self._secrets.get(SEAL_DOCUMENT, [])
        if not rows:
            return None
        content = rows[0].get("content")
        if len(rows) != 1 or not isinstance(content, bytes):
            raise BackupError("the seal document in the backup cannot be read")
        return content

    def vault(self) -> _Vault | None:
        """Return the domain keys; None if there is nothing to open them with. Raises BackupError, UnsealError."""
        if not self._tried:
            self._tried = True
            self._vault = self._open_vault()
        return self._vault

    def _open_vault(self) -> _Vault | None:
        try:
            sealed = [
                SealedDomainKey(*_text_number_bytes(row, "sealed")) for row in self._secrets.get("domain_key", [])
            ]
            given = [OpenDomainKey(*_text_number_bytes(row, "key")) for row in self._secrets.get(DOMAIN_KEYS, [])]
        except _UNREADABLE:
            raise BackupError("the domain keys in the backup cannot be read") from None
        if self._source is not None:
            self.root_key = self._open_root_key(self._source, has_domain_keys=bool(given))
            self._seal = None if self.root_key is None else self.root_key.seal
        opened = given if self._seal is None else _unsealed(sealed, self._seal)
        if given and given != opened:
            raise BackupError("the domain keys in the backup are not those that its root key has sealed")
        if not opened:
            return None
        wrapped = self._secrets.get("audit_key", [])
        if len(wrapped) != 1:
            raise BackupError("the backup must have one audit key")
        try:
            vault = _Vault(opened, wrapped[0]["wrapped_secret"], self._token, self._entropy)
        except (UnsealError, *_UNREADABLE):
            raise BackupError("the audit key in the backup does not open with its domain keys") from None
        in_full_depth = [each for each in opened if each.key_encryption_key]
        if in_full_depth and self._token.is_set:
            # Loading a key does not ask the token.
            self._token.require_all(in_full_depth)
        return vault

    def _open_root_key(self, source: RootKeySource, *, has_domain_keys: bool) -> OpenedRootKey | None:
        try:
            return source.open(self._seal_document())
        except (UnsealError, SealUnavailableError) as error:
            if not (source.may_lack and has_domain_keys):
                raise
            self.closed_seals = str(error)
            return None

    def _note_key(self, _vault: _Vault, row: dict[str, Any]) -> None:
        place = row["account"], row["region"], row["key_id"]
        if row["custom_key_store_id"] is not None:
            self._elsewhere.add(place)
        if row["spec"] != KeySpec.SYMMETRIC_DEFAULT.value:
            self._specs[place] = KeySpec(row["spec"])

    def _open_material(self, vault: _Vault, row: dict[str, Any]) -> None:
        place = row["account"], row["region"], row["key_id"]
        if row["token"] is None:
            return
        without_token = vault.without_token.get(place[1])
        if place in self._elsewhere or without_token == ROOT_DEPTH:
            self.elsewhere += 1
            return
        owner = MaterialBinding(*place, row["material_id"], self._specs.get(place, KeySpec.SYMMETRIC_DEFAULT))
        try:
            vault.backend.load(row["token"], owner)
        except (UnsealError, ValueError):
            self._note_damage(material_record(row["material_id"], key_arn(place[1], place[0], place[2])))
        else:
            self.opened += without_token is None
            self.elsewhere += without_token is not None

    def _open_access_key(self, vault: _Vault, row: dict[str, Any]) -> None:
        try:
            vault.secrets.unwrap(row["wrapped_secret"], access_key_binding(row["access_key_id"]))
        except UnsealError:
            self._note_damage(f"access key {row['access_key_id']}")
        else:
            self.opened += 1

    def _open_xks_credential(self, vault: _Vault, row: dict[str, Any]) -> None:
        try:
            bound_to = xks_credential_binding(row["prefix"], row["access_key_id"])
            vault.secrets.unwrap(row["wrapped_secret"], bound_to)
        except UnsealError:
            self._note_damage(f"credential {row['access_key_id']} of an XKS proxy")
        else:
            self.opened += 1

    def _note_damage(self, text: str) -> None:
        self.damaged_count += 1
        if len(self.damaged) < _MOST_DAMAGED:
            self.damaged.append(printable(text))


def _unsealed(sealed: Sequence[SealedDomainKey], seal: Seal) -> list[OpenDomainKey]:
    """Return the domain keys of a backup, opened with its root key; raises UnsealError, BackupError."""
    if not sealed:
        # Else the root key would seem to have shown who made it.
        raise BackupError("the backup has no domain keys that the root key could open, so it was made elsewhere")
    try:
        return unseal_domain_keys(sealed, seal)
    except UnsealError as error:
        raise UnsealError(f"this is not the root key of the backup ({error})") from None


def _text_number_bytes(row: Mapping[str, Any], last: str) -> tuple[str, int, bytes]:
    """Return scope, version and bytes of a domain key; raises TypeError if they are something else, or KeyError."""
    found = row["scope"], row["version"], row[last]
    if not isinstance(found[0], str) or type(found[1]) is not int or not isinstance(found[2], bytes):
        raise TypeError
    return found
