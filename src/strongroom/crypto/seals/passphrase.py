"""The seal ``passphrase``: the root key under a key derived from a passphrase.

Argon2id (RFC 9106) with 64 MiB, three passes and four lanes, the second of the two choices that its section 4
recommends. Where it is not approved or not available, PBKDF2 with HMAC-SHA-256 (NIST SP 800-132) and 600,000 rounds
(OWASP, Password Storage Cheat Sheet).
"""

from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from strongroom.crypto.envelope import KEY_LENGTH, Wrapper
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import Entropy

_VERSION = 1
_SALT = 16
_ARGON2 = "argon2id"
_PBKDF2 = "pbkdf2-hmac-sha256"
_MEMORY_KIB, _PASSES, _LANES = 64 * 1024, 3, 4
_ROUNDS = 600_000
_MOST_MEMORY_KIB, _MOST_PASSES, _MOST_LANES, _MOST_ROUNDS = 4 << 20, 100, 64, 100_000_000
MIN_LENGTH = 12
"""Characters of a new passphrase."""


def new_parameters(entropy: Entropy, *, approved_only: bool) -> dict[str, str | int]:
    """Return the parameters of a new seal.

    They choose PBKDF2 for ``approved_only``, because Argon2id is not approved, and where OpenSSL has no Argon2id.
    """
    salt = entropy(_SALT).hex()
    if approved_only or not _has_argon2():
        return {"kdf": _PBKDF2, "salt": salt, "rounds": _ROUNDS}
    return {"kdf": _ARGON2, "salt": salt, "memory-kib": _MEMORY_KIB, "passes": _PASSES, "lanes": _LANES}


def is_approved(parameters: Mapping[str, str | int]) -> bool:
    """Tell whether a seal stretches its passphrase by an approved algorithm."""
    return parameters.get("kdf") == _PBKDF2


def _has_argon2() -> bool:
    try:
        Argon2id(salt=bytes(_SALT), length=KEY_LENGTH, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    except UnsupportedAlgorithm:
        return False
    return True


class PassphraseKeeper:
    """Wraps a root key under a passphrase. ``ask`` returns it; it is asked once for each call."""

    def __init__(self, parameters: Mapping[str, str | int], ask: Callable[[], str], entropy: Entropy) -> None:
        self._parameters = parameters
        self._ask = ask
        self._entropy = entropy

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Return a root key wrapped."""
        return self._wrapper().wrap(root_key, binding)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return the root key; raises UnsealError if the passphrase is wrong."""
        wrapper = self._wrapper()
        try:
            return wrapper.unwrap(wrapped, binding)
        except UnsealError:
            raise UnsealError("the passphrase is wrong") from None

    def _wrapper(self) -> Wrapper:
        return Wrapper(derived_key(self._ask(), self._parameters), _VERSION, self._entropy)


def derived_key(passphrase: str, parameters: Mapping[str, str | int]) -> bytes:
    """Return the key of a passphrase, 32 bytes; raises UnsealError for parameters that cannot be used."""
    try:
        salt, secret = bytes.fromhex(str(parameters["salt"])), passphrase.encode()
        if parameters["kdf"] == _PBKDF2:
            rounds = _bounded(parameters["rounds"], _MOST_ROUNDS)
            return PBKDF2HMAC(SHA256(), KEY_LENGTH, salt, rounds).derive(secret)
        if parameters["kdf"] == _ARGON2:
            return Argon2id(
                salt=salt,
                length=KEY_LENGTH,
                iterations=_bounded(parameters["passes"], _MOST_PASSES),
                lanes=_bounded(parameters["lanes"], _MOST_LANES),
                memory_cost=_bounded(parameters["memory-kib"], _MOST_MEMORY_KIB),
            ).derive(secret)
    except UnsupportedAlgorithm:
        raise UnsealError(f"the OpenSSL of this installation has no {parameters['kdf']}") from None
    except (KeyError, TypeError, ValueError):
        raise UnsealError("its parameters are damaged") from None
    raise UnsealError(f"the key derivation {parameters['kdf']!a} is not known to this release")


def _bounded(value: str | int, most: int) -> int:
    """Return a number within its bounds: the document is read before it is authenticated. Raises ValueError."""
    if not isinstance(value, int) or not 0 < value <= most:
        raise ValueError(value)
    return value
