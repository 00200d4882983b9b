"""Imports of key material into a token: it is unwrapped, examined and wrapped again there, and is never outside of it.

The private half of a wrapping key pair is in the import token, as a key that the token has wrapped
(``wrapped_keys``), with a binding of its own. Whether the token can import material of a spec by an algorithm is found
out by doing it, with material that protects nothing, when the first parameters are asked for.
"""

from collections.abc import Collection, Mapping

from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import DomainKeys, FullDepthKey
from strongroom.crypto.hsm.import_trials import Trial, reason_of, trial_of, try_import
from strongroom.crypto.hsm.importing import Importing
from strongroom.crypto.hsm.key_kind import KeyKind
from strongroom.crypto.hsm.wrapped_keys import (
    WrappedKey,
    key_encryption_key_of,
    opened,
    token_of,
    unwrap_key,
    wrap_key,
    wrap_mechanism,
)
from strongroom.crypto.hsm.wrapping_pairs import Sent, UnderKey, WrappingPairKind, held
from strongroom.crypto.material import MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.crypto.material_ids import names_of
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import (
    IncorrectKeyMaterialException,
    InvalidCiphertextException,
    KmsError,
    UnsupportedOperationException,
)
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WRAPPING_KEY_BITS, WrappingAlgorithm, WrappingKeySpec

_MAKING = 60.0
"""Seconds that a token may take to make a key pair, and to try it."""
_CLIENTS = (InvalidCiphertextException, IncorrectKeyMaterialException)
_CANNOT = "The hardware security module cannot import"
_UNTRIED = "not tried yet"
_Tried = tuple[tuple[str, ...], WrappingKeySpec, WrappingAlgorithm, KeySpec]


class HsmImports:
    """Makes wrapping key pairs in a token, and imports what was encrypted for them.

    The methods raise as ``Token.run``, too.
    """

    def __init__(self, domain_keys: DomainKeys, token: Token, kinds: Mapping[KeySpec, KeyKind]) -> None:
        self._domain_keys = domain_keys
        self._token = token
        self._kinds = kinds
        self._importing = Importing(kinds)
        self._tried: dict[_Tried, tuple[int, str | None]] = {}
        """What was tried → in which connection, and why it is refused. What is refused is tried again in a new one."""

    def wrapping_key(
        self, domain_key: FullDepthKey, spec: WrappingKeySpec, algorithm: WrappingAlgorithm, owner: MaterialOwner
    ) -> WrappingKey:
        """Have the token make a pair, and return its private half wrapped for ``domain_key``.

        Raises UnsupportedOperationException if the token cannot import material of the owner's spec in this way.
        """
        if owner.spec not in self._kinds:
            raise UnsupportedOperationException(f"{_CANNOT} {owner.spec} key material.")
        kind = WrappingPairKind(WRAPPING_KEY_BITS[spec], algorithm)

        def work(session: TokenSession) -> WrappedKey | str:
            place = (session.make, spec, algorithm, owner.spec)
            generation, reason = self._tried.get(place, (None, _UNTRIED))
            if reason and generation == session.generation:
                return reason
            found: WrappedKey | str
            try:
                found = self._pair(session, kind, domain_key, trial_of(owner.spec) if reason else None)
            except (CryptokiError, KmsError) as error:
                found = reason_of(error, session)
            self._tried[place] = session.generation, found if isinstance(found, str) else None
            return found

        key = self._token.run(work, patience=_MAKING)
        if isinstance(key, str):
            how = f"WrappingAlgorithm {algorithm} with WrappingKeySpec {spec}"
            raise UnsupportedOperationException(f"{_CANNOT} {owner.spec} key material by {how}: {key}.")
        return WrappingKey(token_of(domain_key, key, _fields(owner)), key.public_key)

    def import_material(
        self, domain_key: FullDepthKey, wrapped: WrappedMaterial, owner: MaterialOwner, known_ids: Collection[str]
    ) -> tuple[str, WrappedKey]:
        """Unwrap material in the token, examine it, and return its id and the key wrapped for ``domain_key``.

        Raises as ``KeyBackend.import_material``.
        """
        self._domain_keys.take_over_changes()
        before, pair_key = opened(self._domain_keys, owner.region, wrapped.wrapping_token, _fields(owner), stored=False)
        # The size tells how a pair is made, and not how it is unwrapped.
        pair_kind = WrappingPairKind(0, wrapped.algorithm)

        def work(session: TokenSession) -> tuple[str, WrappedKey]:
            calls = session.calls
            opening = key_encryption_key_of(session, before)
            with held(calls, unwrap_key(session, calls, opening, pair_kind, pair_key.wrapped)) as handle:
                pair = pair_kind.pair(calls, handle, pair_key.public_key)
                sent = Sent(calls, pair, self._under(session, domain_key), wrapped.encrypted)
                return self._importing.run(session, sent, owner.spec, names_of(owner), known_ids)

        def guarded(session: TokenSession) -> tuple[str, WrappedKey]:
            try:
                return work(session)
            except _CLIENTS:
                # A call has failed, and may have left something open.
                session.drop()
                raise

        try:
            return self._token.run(guarded, patience=_MAKING)
        except CryptokiError as error:
            raise TokenFaultError(str(error)) from None

    def _pair(
        self, session: TokenSession, kind: WrappingPairKind, domain_key: FullDepthKey, trial: Trial | None
    ) -> WrappedKey:
        """Make a pair, wrap its private half, and import material for a trial; raises what an import raises."""
        under = self._under(session, domain_key)
        made = kind.generate(session.calls)
        with held(session.calls, made.handle):
            wrapped = wrap_key(session, under.handle, kind, made)
            if trial is not None:
                pair = kind.pair(session.calls, made.handle, made.public_key)
                try_import(self._importing, session, pair, under, trial)
        return wrapped

    def _under(self, session: TokenSession, domain_key: FullDepthKey) -> UnderKey:
        handle = key_encryption_key_of(session, domain_key)
        return UnderKey(session.calls, handle, wrap_mechanism(session))


def _fields(owner: MaterialOwner) -> bytes:
    return binding("hsm-wrapping-key", owner.account, owner.region, owner.key_id, owner.spec)
