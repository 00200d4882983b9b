"""The hardware token of the settings, and the key back end that follows from what protects key material."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

from strongroom.assembly.lost_objects import LostObjects
from strongroom.assembly.protections import FULL_DEPTH, object_id_of
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.domain_keys import DomainKeys, OpenDomainKey, full_depth_domain_key, token_domain_key
from strongroom.crypto.envelope import KeyWrapper
from strongroom.crypto.hsm.capabilities import KeyCapabilities
from strongroom.crypto.hsm.import_trials import refused_imports
from strongroom.crypto.hsm.importing import Importing
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.hsm.key_encryption_keys import try_key_encryption_key
from strongroom.crypto.hsm.kinds import kinds_of_keys
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.pkcs11.capabilities import Capabilities, capabilities_of
from strongroom.crypto.pkcs11.connection import Connection, TokenSession
from strongroom.crypto.pkcs11.token import PATIENCE, ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.wrapping import (
    ID_LENGTH,
    TokenWrapper,
    create_key_encryption_key,
    create_wrapping_key,
    destroy_wrapping_key,
    is_in_token,
    label_of,
)
from strongroom.crypto.seal import Seal, SealedDomainKey, SealUnavailableError, UnsealError
from strongroom.crypto.software.aes import NONCES_LENGTH
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.token_errors import TokenFaultError, TokenRefusedError, TokenTimeoutError, TokenUnavailableError
from strongroom.entropy import Entropy
from strongroom.first_few import first_few
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm
from strongroom.problems import Problems, Subject
from strongroom.settings import KeyProtection, SettingsError
from strongroom.store.subjects.destructions import ErasedDomainKey

T = TypeVar("T")

logger = logging.getLogger(__name__)

Announce: TypeAlias = Callable[[Sequence[ErasedDomainKey]], None]
"""Is told what is about to be made in the token for domain keys."""

_SEAL_VERSION = 1
_START = 30.0
"""Seconds that a start waits for a token."""


class ConfiguredToken:
    """The token that the settings name. Its module is loaded, and its PIN read, when it is first needed."""

    def __init__(
        self,
        unsealing: Unsealing,
        start_lock: Path | None = None,
        problems: Problems | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the settings and the PIN of ``unsealing``.

        ``start_lock`` is a file that processes lock to log in. ``problems`` are told when the token is away.
        """
        self._settings = unsealing.settings
        self._unsealing = unsealing
        self._start_lock = start_lock
        self._problems = problems
        self._timer = timer
        self._lock = threading.Lock()
        self._token: ModuleToken | None = None
        self._lost: str | None = None
        self._lost_objects = LostObjects(self, timer)
        # Each key that is tried encrypts once.
        kinds = kinds_of_keys(lambda: bytes(NONCES_LENGTH))
        self._keeps, self._importing = KeyCapabilities(self, kinds), Importing(kinds)
        if self.is_set:
            # Seals may need it.
            unsealing.token = self

    @property
    def is_set(self) -> bool:
        """Whether the settings name a token."""
        return self._settings.pkcs11_module is not None

    @property
    def generation(self) -> int:
        """The number of the present connection, 0 before the first."""
        return 0 if self._token is None else self._token.generation

    def run(self, work: Callable[[TokenSession], T], *, patience: float = PATIENCE) -> T:
        """Run work with a session; raises as ``Token`` says, and SettingsError if no token is set."""
        return self._loaded().run(work, patience=patience)

    def search(
        self, work: Callable[[TokenSession], T], is_whole: Callable[[T], bool], *, patience: float = PATIENCE
    ) -> T:
        """Run a search, on a new connection too if something is missing; raises as ``run``."""
        return self._loaded().search(work, is_whole, patience=patience)

    def discard(self, name: bytes) -> None:
        """Have a session object destroyed soon, if the token was loaded."""
        if self._token is not None:
            self._token.discard(name)

    def require(self) -> Connection:
        """Connect now; raises UnsealError if it must not be tried again, SealUnavailableError if it may come back."""
        with _as_errors_of_a_start():
            return self._loaded().require(patience=_START)

    def look(self, domain_keys: DomainKeys) -> None:
        """See whether the token answers and has what domain keys name, and report it; only if something has needed it.

        Those of its objects that are destroyed would be missed only when a key is loaded.
        """
        if self._token is not None:
            try:
                self._token.check()
                lost = self._lost_objects.look(domain_keys)
            except (TokenUnavailableError, TokenTimeoutError, TokenFaultError) as error:
                self._report(error.explanation)
                return
            self._lost = f"the token has lost {_named(lost)}; restore it from its backup" if lost else None
            self._report(None)

    def close(self) -> None:
        """End all sessions."""
        if self._token is not None:
            self._token.close()

    def wrapper(self, entropy: Entropy) -> Callable[[OpenDomainKey], KeyWrapper]:
        """Return what ``DomainKeys`` asks for what wraps with a domain key in the token."""
        return lambda opened: TokenWrapper(self, opened.key, opened.version, entropy)

    # --- which keys it keeps in full depth

    def refusal(self, spec: KeySpec, usage: KeyUsage) -> str | None:
        """Return why keys of a spec and usage cannot move into the token, None if they can; raises as ``require``."""
        self.require()
        with _as_errors_of_a_start():
            return self._keeps.refused(spec, usage, moved=True)

    def refused_specs(self) -> Mapping[tuple[KeySpec, KeyUsage], str]:
        """Return why the token cannot keep keys of some specs and usages; raises as ``require``."""
        self.require()
        with _as_errors_of_a_start():
            refused = self._keeps.all_refused()
        # CreateKey refuses it everywhere: it is for Regions in China.
        return {place: reason for place, reason in refused.items() if place[0] is not KeySpec.SM2}

    def refused_imports(self) -> Mapping[tuple[WrappingAlgorithm, KeySpec], str]:
        """Return why material of some specs cannot be imported by some algorithms; raises as ``require``."""
        self.require()
        with _as_errors_of_a_start():
            return refused_imports(self, self._importing)

    def tell_of_full_depth(self) -> None:
        """Log what the token cannot keep, and whether it lets keys be read that it unwraps; raises as ``require``."""
        refused = self.refused_specs()
        logger.info(
            "CreateKey refuses what the hardware token cannot keep: %s (`strongroom hsm status` says why)",
            ", ".join(f"{spec} for {usage}" for spec, usage in refused) or "nothing",
        )
        if not self._capabilities().unwraps_sensitive:
            logger.warning(
                "the token %a does not obey unwrap templates: with its PIN, it can be told to unwrap keys so that they "
                "can be read",
                self.require().name.label,
            )

    # --- keys of seals

    def seal_key(self, object_id: bytes, entropy: Entropy) -> KeyWrapper:
        """Return what wraps with the key of a seal: see ``crypto.seals.pkcs11``."""
        return _SealKey(self, object_id, entropy)

    def create_seal_key(self, name: str, entropy: Entropy, now: float) -> dict[str, str]:
        """Make the key of a seal in the token, and return the parameters of the seal; raises as ``require``."""
        connection = self.require()
        object_id = entropy(ID_LENGTH)
        with _as_errors_of_a_start():
            create_wrapping_key(self, object_id, f"seal/{name}", _SEAL_VERSION, now)
        return {"object": object_id.hex(), "token": connection.name.serial}

    def destroy_seal_key(self, object_id: bytes) -> None:
        """Destroy the key of a seal that was removed; raises as ``require``."""
        self.require()
        with _as_errors_of_a_start():
            destroy_wrapping_key(self, object_id)

    # --- domain keys, at a start

    def create(
        self,
        versions: Mapping[str, int],
        kind: KeyProtection,
        seal: Seal,
        entropy: Entropy,
        now: float | None,
        announce: Announce | None = None,
    ) -> list[SealedDomainKey]:
        """Make domain keys of these scopes and versions for a kind of protection, and return their records.

        ``announce`` is called with what is to be made in the token before it is. Each object is tried once. Raises as
        ``require``.
        """
        make = self._create_full_depth if kind == FULL_DEPTH else self._create_root_depth
        connection = self.require()
        if kind == FULL_DEPTH:
            self._require_wrap(connection)
        self._warn_if_keys_leave(connection)
        objects = [
            ErasedDomainKey(scope, version, entropy(ID_LENGTH).hex(), uncommitted=True)
            for scope, version in versions.items()
        ]
        if announce is not None:
            announce(objects)
        with _as_errors_of_a_start():
            return [make(each, seal, entropy, now) for each in objects]

    def _create_root_depth(
        self, planned: ErasedDomainKey, seal: Seal, entropy: Entropy, now: float | None
    ) -> SealedDomainKey:
        scope, version, object_id = planned.scope, planned.version, bytes.fromhex(planned.object_id)
        create_wrapping_key(self, object_id, scope, version, now)
        wrapper = TokenWrapper(self, object_id, version, entropy)
        sample = entropy(ID_LENGTH)
        if wrapper.unwrap(wrapper.wrap(sample, b"sample"), b"sample") != sample:
            raise UnsealError("the token does not give back what it has wrapped")
        return token_domain_key(scope, version, object_id, seal, now)

    def _create_full_depth(
        self, planned: ErasedDomainKey, seal: Seal, entropy: Entropy, now: float | None
    ) -> SealedDomainKey:
        scope, version, object_id = planned.scope, planned.version, bytes.fromhex(planned.object_id)
        create_key_encryption_key(self, object_id, scope, version, now)
        try_key_encryption_key(self, object_id)
        return full_depth_domain_key(scope, version, object_id, seal, entropy, now)

    def destroy(self, erased: ErasedDomainKey) -> None:
        """Destroy what a domain key had in the token, when the database does not name it any more, if it is there.

        Raises as ``run``.
        """
        destroy_wrapping_key(self, bytes.fromhex(erased.object_id))

    def require_all(self, keys: Sequence[OpenDomainKey]) -> None:
        """Refuse a token that lacks domain keys; raises UnsealError, and as ``require``."""
        connection = self.require()
        self._warn_if_keys_leave(connection)
        if any(each.key_encryption_key for each in keys):
            self._require_wrap(connection)
        for each in keys:
            with _as_errors_of_a_start():
                is_there = is_in_token(self, object_id_of(each))
            if not is_there:
                what = "key encryption key" if each.key_encryption_key else "domain key"
                raise UnsealError(
                    f"the token {connection.name.label!a} (serial number {connection.name.serial}) has no object "
                    f"{object_id_of(each).hex()} ({label_of(each.scope, each.version)}), the {what} of {each.scope}; "
                    "name the right token in `pkcs11-token`, or restore it from its backup"
                )

    def _require_wrap(self, connection: Connection) -> None:
        """Refuse a token that cannot wrap keys for full depth; raises UnsealError."""
        if connection.known_answers.wrap is None:
            named = self._settings.pkcs11_wrap_mechanism
            number, advice = "a number of the standard", "name its number in"
            if named is not None:
                number, advice = f"the number {named:#x}", "correct or remove"
            raise UnsealError(
                f"the token {connection.name.label!a} has no AES key wrap with padding (RFC 5649) under {number}, and "
                f"`key-protection` {FULL_DEPTH} needs it; {advice} `pkcs11-wrap-mechanism`"
            )

    def _warn_if_keys_leave(self, connection: Connection) -> None:
        if not self._capabilities().keeps_keys:
            logger.warning(
                "the token %a wraps keys that it was told never to give away: with its PIN, all keys can be copied",
                connection.name.label,
            )

    def _capabilities(self) -> Capabilities:
        with _as_errors_of_a_start():
            return capabilities_of(self, str(self._settings.pkcs11_module))

    def _loaded(self) -> ModuleToken:
        if self._token is None:
            with self._lock:
                if self._token is None:
                    self._token = self._load()
        return self._token

    def _load(self) -> ModuleToken:
        settings = self._settings
        if settings.pkcs11_module is None or settings.pkcs11_token is None:
            missing = "pkcs11-module" if settings.pkcs11_module is None else "pkcs11-token"
            raise SettingsError(f"a hardware token is needed; name it in the setting `{missing}` (docs/hardware.md)")
        address = TokenAddress(
            module=Path(settings.pkcs11_module),
            token=settings.pkcs11_token,
            pin=self._unsealing.pin(),
            pin_from="`pkcs11-pin-file`" if settings.pkcs11_pin_file else "the PIN",
            arguments=settings.pkcs11_init_args,
            wrap_mechanism=settings.pkcs11_wrap_mechanism,
            handles=settings.pkcs11_handles,
            threads=settings.pkcs11_threads,
            start_lock=self._start_lock,
        )
        try:
            return ModuleToken(address, self._timer, self._report)
        except OSError as error:
            raise SettingsError(f"`pkcs11-module` cannot be loaded: {error}") from None

    def _report(self, why: str | None) -> None:
        if self._problems is None:
            return
        # A new connection ends other problems than this one.
        why = why or self._lost
        if why is None:
            self._problems.resolve(Subject.TOKEN)
        else:
            self._problems.report(Subject.TOKEN, f"calls that need the hardware token fail: {why}")


def _named(keys: Sequence[OpenDomainKey]) -> str:
    """Return the objects of domain keys, by id and label: the first few."""
    return first_few([f"object {object_id_of(each).hex()} ({label_of(each.scope, each.version)})" for each in keys])


class _SealKey:
    """Wraps a root key with a key in a token. Its errors are those of a keeper."""

    def __init__(self, token: ConfiguredToken, object_id: bytes, entropy: Entropy) -> None:
        self._token = token
        self._id = object_id
        self._wrapper = TokenWrapper(token, object_id, _SEAL_VERSION, entropy)

    def wrap(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return an envelope around ``plaintext``; raises UnsealError, SealUnavailableError."""
        self._require()
        with _as_errors_of_a_start():
            return self._wrapper.wrap(plaintext, binding)

    def unwrap(self, envelope: bytes, binding: bytes) -> bytes:
        """Return the content; raises UnsealError, SealUnavailableError."""
        self._require()
        with _as_errors_of_a_start():
            return self._wrapper.unwrap(envelope, binding)

    def _require(self) -> None:
        """Connect, which takes longer than a call may, and see that the key is there."""
        try:
            connection = self._token.require()
        except SettingsError as error:
            raise UnsealError(str(error)) from None
        with _as_errors_of_a_start():
            if not is_in_token(self._token, self._id):
                raise UnsealError(
                    f"the token {connection.name.label!a} (serial number {connection.name.serial}) has no object "
                    f"{self._id.hex()}, the key of the seal; name the right token in `pkcs11-token`"
                )


@contextmanager
def _as_errors_of_a_start() -> Iterator[None]:
    """Turn the errors of a token into those of a start, which say whether trying again can help."""
    try:
        yield
    except (TokenRefusedError, TokenFaultError) as error:
        raise UnsealError(error.explanation) from None
    except (TokenUnavailableError, TokenTimeoutError) as error:
        raise SealUnavailableError(error.explanation) from None


def key_backend_of(
    token: ConfiguredToken, domain_keys: DomainKeys, entropy: Entropy, *, approved_only: bool = False
) -> KeyBackend:
    """Return the key back end of the default key store, by what protects its key material.

    Where a token is set, a command may move keys into it while this process runs. Without one, keys of full depth are
    told apart all the same, so that their use fails for want of a token.
    """
    software = SoftwareKeyBackend(domain_keys, entropy, approved_only=approved_only)
    if token.is_set or any(each.key_encryption_key for each in domain_keys.in_token):
        return HsmKeyBackend(domain_keys, token, entropy, software)
    return software
