"""Wraps under the newest domain key what older versions have wrapped: key material, secrets, and the codes of rows.

Some of it is done in each transaction, so that other writers need not wait. What another writer changes meanwhile is
left to the next transaction.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from msgspec.structs import replace

from strongroom.crypto.binding import (
    AUDIT_KEY_BINDING,
    access_key_binding,
    custom_key_store_binding,
    xks_credential_binding,
)
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.token_errors import TokenFaultError, TokenUnavailableError
from strongroom.crypto.token_versions import domain_key_version
from strongroom.errors import DependencyTimeoutException, KmsError, UnsupportedOperationException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.keys.kms_key import KmsKey
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.records import AccessKeyRecord
from strongroom.store.retries import WriteConflict
from strongroom.store.scopes import AccountScope, KeyScope
from strongroom.store.subjects.records import RenewalPlace, RenewedCodes
from strongroom.xks_proxy.registry import XksCredential

_BATCH = 50
_ROWS = 500
_NO_ANSWER = (DependencyTimeoutException, TokenUnavailableError)
_AWAY = 3
"""After as many keys in a row that met no answer, the token or the database is away. One can be the key's own fault:
SoftHSM says of what it cannot unwrap what others say when they are lost."""

Step = tuple[int, Sequence[str]]
"""How much a transaction has wrapped anew, and what it could not."""


class Rewrapping:
    """Wraps anew what belongs to one scope."""

    def __init__(
        self,
        store: Store,
        key_backends: KeyBackends,
        secrets: ServiceSecrets,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store = store
        self._key_backends = key_backends
        self._secrets = secrets
        self._timer = timer

    def remaining(self, scope: str, version: int) -> int:
        """Count what is stored of a scope and needs a domain key older than ``version``."""
        with self._store.read() as reader:
            return self.remaining_in(reader, scope, version)

    def remaining_in(self, reader: Reader, scope: str, version: int) -> int:
        """Do what ``remaining`` does, in a state that is read already."""
        if scope != IAM_SCOPE:
            return reader.count_material_under_older(scope, version)
        stores = sum(_is_older(each.wrapped_secret, version) for each in reader.all_custom_key_stores())
        audit_key = reader.audit_key()
        return (
            reader.count_access_keys_under_older(version)
            + reader.codes_under_older(version)
            + stores
            + sum(_is_older(each.wrapped_secret, version) for each in reader.all_xks_credentials())
            + int(audit_key is not None and _is_older(audit_key, version))
        )

    def run(
        self,
        scope: str,
        version: int,
        advance: Callable[[int], object] = lambda _: None,
        until: float = float("inf"),
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> tuple[str, ...]:
        """Wrap anew what needs a domain key older than ``version``; return what could not be, by name.

        It ends early when the timer reaches ``until``, and then returns nothing. Each transaction, with the reads
        before it, is made inside a ``turn``.
        """
        refused: list[str] = []
        steps = self._secrets_of_service(version) if scope == IAM_SCOPE else self._material(scope, version)
        while True:
            with turn():
                step = next(steps, None)
            if step is None:
                break
            done, names = step
            advance(done)
            refused += names
            if self._timer() >= until:
                return ()
        return tuple(dict.fromkeys(refused))

    # --- key material of a Region

    def _material(self, region: str, version: int) -> Iterator[Step]:
        after = ""
        while True:
            with self._store.read() as reader:
                found = reader.material_under_older(region, version, after, _BATCH)
            if not found:
                return
            after = max(found)
            yield self._keys(found, version)

    def _keys(self, found: Mapping[str, KeyLocator], version: int) -> Step:
        refused: list[str] = []
        changes: list[tuple[KmsKey, KmsKey]] = []
        away = 0
        # Of a key's materials, any one will do.
        for locator, material_id in {locator: material_id for material_id, locator in found.items()}.items():
            try:
                change = self._change(locator, material_id, version)
            except (UnsealError, KmsError) as error:
                away = away + 1 if isinstance(error, _NO_ANSWER) else 0
                if away == _AWAY:
                    raise
                refused.append(_named(locator, error))
            else:
                away = 0
                if change is not None:
                    changes.append(change)
        return self._save(changes) if changes else 0, refused

    def _save(self, changes: Sequence[tuple[KmsKey, KmsKey]]) -> int:
        """Store keys that are still as they were; return how many of their materials were wrapped anew."""

        def act(transaction: Transaction) -> int:
            saved = [pair for pair in changes if transaction.key(pair[0].locator) == pair[0]]
            for before, after in saved:
                transaction.save_key(before, after)
            return sum(map(_differences, saved))

        scopes = sorted({KeyScope(key.account, key.key_id) for key, _ in changes})
        return self._write(act, *scopes)

    def _change(self, locator: KeyLocator, material_id: str, version: int) -> tuple[KmsKey, KmsKey] | None:
        """Return a key as it is, and wrapped anew; None if it was deleted meanwhile. Raises UnsealError, KmsError."""
        with self._store.read() as reader:
            key = reader.key(locator)
            has_material = reader.key_of_material(locator.region, material_id) is not None
        if key is not None:
            return key, self._rewrapped(key, version)
        if has_material:
            raise UnsealError("its row is gone, and its material is not")
        return None

    def _rewrapped(self, key: KmsKey, version: int) -> KmsKey:
        """Return a key whose material is wrapped anew; raises UnsealError, QuarantinedRecordException."""
        if key.damaged:
            raise UnsealError(key.damaged[0])
        backend = self._key_backends.of(key)
        materials = tuple(
            replace(each, token=backend.rewrap(each.token, binding_of(key, each.material_id)))
            if each.token is not None and _is_older(each.token, version)
            else each
            for each in key.materials
        )
        return replace(key, materials=materials)

    # --- secrets of the service, and the codes of rows

    def _secrets_of_service(self, version: int) -> Iterator[Step]:
        yield self._audit_key(version)
        with self._store.read() as reader:
            stores = [each for each in reader.all_custom_key_stores() if _is_older(each.wrapped_secret, version)]
            credentials = [each for each in reader.all_xks_credentials() if _is_older(each.wrapped_secret, version)]
        for store in stores:
            yield self._custom_key_store(store)
        for credential in credentials:
            yield self._xks_credential(credential)
        after = ""
        while True:
            with self._store.read() as reader:
                found = reader.access_keys_under_older(version, after, _BATCH)
            if not found:
                break
            after = found[-1].access_key_id
            yield self._access_keys(found)
        place: RenewalPlace | None = RenewalPlace()
        while place is not None:
            renewed = self._store.write(partial(_renew_codes, place), AccountScope(""))
            yield renewed.renewed, renewed.refused
            place = renewed.following

    def _audit_key(self, version: int) -> Step:
        with self._store.read() as reader:
            wrapped = reader.audit_key()
        if wrapped is None or not _is_older(wrapped, version):
            return 0, ()
        anew = self._anew(wrapped, AUDIT_KEY_BINDING)
        if anew is None:
            return 0, ("the audit key",)

        def act(transaction: Transaction) -> int:
            transaction.rewrap_audit_key(anew)
            return 1

        return self._write(act, AccountScope("")), ()

    def _custom_key_store(self, store: CustomKeyStore) -> Step:
        anew = self._anew(store.wrapped_secret, custom_key_store_binding(store.store_id))
        if anew is None:
            return 0, (f"custom key store {store.store_id}",)
        after = replace(store, wrapped_secret=anew)

        def act(transaction: Transaction) -> int:
            if transaction.custom_key_store(store.account, store.region, store.store_id) != store:
                return 0
            transaction.put_custom_key_store(after)
            return 1

        return self._write(act, AccountScope(store.account)), ()

    def _xks_credential(self, credential: XksCredential) -> Step:
        prefix, access_key_id = credential.prefix, credential.access_key_id
        anew = self._anew(credential.wrapped_secret, xks_credential_binding(prefix, access_key_id))
        if anew is None:
            return 0, (f"credential {access_key_id} of an XKS proxy",)

        def act(transaction: Transaction) -> int:
            if credential not in transaction.xks_credentials(prefix):
                return 0
            transaction.rewrap_xks_credential(credential, anew)
            return 1

        return self._write(act, AccountScope("")), ()

    def _access_keys(self, found: Sequence[AccessKeyRecord]) -> Step:
        pairs = [(each, self._anew(each.wrapped_secret, access_key_binding(each.access_key_id))) for each in found]
        refused = tuple(f"access key {each.access_key_id}" for each, anew in pairs if anew is None)

        def act(transaction: Transaction) -> int:
            done = 0
            for record, anew in pairs:
                now = transaction.access_key(record.access_key_id)
                if anew is not None and now is not None and now.wrapped_secret == record.wrapped_secret:
                    transaction.rewrap_access_key(now, anew)
                    done += 1
            return done

        return self._write(act, *sorted({AccountScope(each.account) for each in found})), refused

    def _anew(self, wrapped: bytes, bound_to: bytes) -> bytes | None:
        try:
            return self._secrets.wrap(self._secrets.unwrap(wrapped, bound_to), bound_to)
        except UnsealError:
            return None

    def _write(self, act: Callable[[Transaction], int], *scopes: AccountScope | KeyScope) -> int:
        """Run a transaction; return 0 if another writer was faster, so that a later one does it."""
        try:
            return self._store.write(act, *scopes)
        except WriteConflict:
            return 0


def _named(locator: KeyLocator, error: Exception) -> str:
    """Return what to call a key that could not be wrapped anew, and why if a token or the database says so."""
    why = ""
    if isinstance(error, (*_NO_ANSWER, TokenFaultError, UnsupportedOperationException)):
        why = (error.explanation or str(error)).rstrip(".")
    return f"key {locator.arn} ({why})" if why else f"key {locator.arn}"


def _is_older(token: bytes, version: int) -> bool:
    found = domain_key_version(token)
    return found is not None and found < version


def _differences(pair: tuple[KmsKey, KmsKey]) -> int:
    return sum(before != after for before, after in zip(pair[0].materials, pair[1].materials, strict=True))


def _renew_codes(place: RenewalPlace, transaction: Transaction) -> RenewedCodes:
    return transaction.renew_codes(place, _ROWS)
