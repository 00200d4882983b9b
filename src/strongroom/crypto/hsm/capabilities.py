"""Which key specs a token can keep, found out by doing: make, wrap, destroy, unwrap, compare, and use.

A spec and usage are refused unless every algorithm that AWS lists for them works, because DescribeKey promises all.
RSA_2048 stands for all sizes of RSA that the mechanism has, because making a large key takes seconds.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from strongroom.crypto.hsm.key_encryption_keys import TEMPORARY
from strongroom.crypto.hsm.key_kind import KeyKind
from strongroom.crypto.hsm.use_of_keys import algorithms_of, known_material, require_same, try_algorithm
from strongroom.crypto.hsm.wrapped_keys import unwrap_key, wrap_key
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import KmsError
from strongroom.keys.specs import USAGES, KeySpec, KeyUsage

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds that a token may take to try a spec."""
_UNKNOWN = "this release keeps no such keys in hardware"
_RSA_BITS = {KeySpec.RSA_3072: 3072, KeySpec.RSA_4096: 4096}


class KeyCapabilities:
    """What a token can keep. It is tried when it is first asked for, and what is refused again in a new connection."""

    def __init__(self, token: Token, kinds: Mapping[KeySpec, KeyKind]) -> None:
        self._token = token
        self._kinds = kinds
        self._found: dict[tuple[tuple[str, ...], KeySpec, KeyUsage, bool], tuple[int, str | None]] = {}
        """Make of the token, and what was tried → the connection in which it was, and why it is refused."""

    def refused(self, spec: KeySpec, usage: KeyUsage, *, moved: bool = False) -> str | None:
        """Return why the token cannot keep keys of a spec and usage; None if it can. Raises as ``Token.run``.

        ``moved`` are keys that are made known to it, and not made by it: some tokens refuse such. Trying a spec takes
        up to seconds. It changes nothing in the token.
        """
        if spec not in self._kinds:
            return _UNKNOWN
        bits = _RSA_BITS.get(spec)
        tried = spec if bits is None else KeySpec.RSA_2048

        def work(session: TokenSession) -> str | None:
            if bits is not None and not _has_rsa(bits, session):
                return f"the token has no RSA keys of {bits} bits"
            key = (session.make, tried, usage, moved)
            found = self._found.get(key)
            if found is None or (found[1] is not None and found[0] != session.generation):
                found = self._found[key] = session.generation, self._reason(session, tried, usage, moved=moved)
            return found[1]

        return self._token.run(work, patience=_PATIENCE)

    def all_refused(self) -> dict[tuple[KeySpec, KeyUsage], str]:
        """Return the reason for each spec and usage that the token cannot keep; raises as ``refused``."""
        reasons = {(spec, usage): self.refused(spec, usage) for spec, usages in USAGES.items() for usage in usages}
        return {place: reason for place, reason in reasons.items() if reason is not None}

    def _reason(self, session: TokenSession, spec: KeySpec, usage: KeyUsage, *, moved: bool) -> str | None:
        trial = _Trial(session, self._kinds[spec])
        try:
            trial.run(spec, usage, moved=moved)
        except (_FailedError, CryptokiError) as failed:
            error = failed.error if isinstance(failed, _FailedError) else failed
            if not session.calls.is_refusal(error):
                raise error from None
            session.drop()
            return trial.step + str(error)
        except TokenFaultError as error:
            session.drop()
            return trial.step + error.explanation
        except KmsError as error:
            session.drop()
            return trial.step + (error.message or error.code)
        return None


def _has_rsa(bits: int, session: TokenSession) -> bool:
    """Tell whether a token has RSA keys of that size; raises CryptokiError if it does not answer."""
    try:
        return bits in session.key_sizes(c.CKM_RSA_PKCS_KEY_PAIR_GEN)
    except CryptokiError as error:
        if not session.calls.is_refusal(error):
            raise
        return False


class _Trial:
    """A temporary key, with which everything is done that is done with others."""

    def __init__(self, session: TokenSession, kind: KeyKind) -> None:
        self._session = session
        self._kind = kind
        self.step = ""
        """The algorithm that is tried now, for a text."""

    def run(self, spec: KeySpec, usage: KeyUsage, *, moved: bool) -> None:
        """Raise what is raised."""
        known = known_material(spec) if moved else None
        session, calls, kind = self._session, self._session.calls, self._kind
        under = calls.generate_key(TEMPORARY)
        made = kind.generate(calls) if known is None else kind.create(calls, known)
        wrapped = wrap_key(session, under, kind, made)
        calls.destroy_object(made.handle)
        handle = unwrap_key(session, calls, under, kind, wrapped.wrapped)
        _require_kept(calls, handle)
        key = kind.backing_key(_Tried(calls, handle), made.public_key)
        for algorithm in algorithms_of(spec, usage):
            self.step = f"{algorithm}: "
            try_algorithm(key, spec, usage, algorithm)
        self.step = ""
        if known is not None:
            require_same(key, known, spec)
        for each in (handle, under):
            calls.destroy_object(each)


def _require_kept(calls: Calls, handle: int) -> None:
    """Refuse what a token could give away, although it was told not to; raises TokenFaultError."""
    for kind, expected in ((c.CKA_SENSITIVE, c.TRUE), (c.CKA_EXTRACTABLE, c.FALSE)):
        if calls.attribute(handle, kind) != expected:
            raise TokenFaultError("the token unwraps keys that it could give away, although it was told not to")


class _FailedError(Exception):
    """A call has failed for another reason than its data. Keys let this pass."""

    def __init__(self, error: CryptokiError) -> None:
        super().__init__(str(error))
        self.error = error


class _Tried:
    """A ``UsableKey`` that is used in the session that tries it."""

    def __init__(self, calls: Calls, handle: int) -> None:
        self._calls = calls
        self._handle = handle

    def run(self, work: Callable[[Calls, int], T]) -> T:
        """Run work."""
        try:
            return work(self._calls, self._handle)
        except CryptokiError as error:
            if error.kind is Kind.CALLER:
                raise
            raise _FailedError(error) from None
