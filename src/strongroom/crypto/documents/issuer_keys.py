"""The public keys of OpenID Connect issuers: JWK Sets (RFC 7517), from text, or from a file that may change.

Source: RFC 8725 (best current practices): the algorithm comes from the key and a fixed list, never from the token
alone, and symmetric algorithms are not in it.
"""

import logging
from pathlib import Path
from typing import Any, cast

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey

from strongroom.bounded_cache import put
from strongroom.whole_files import read_regular

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
MAX_KEYS_SIZE = 65_536
"""The most bytes of a JWK Set that is kept in the database. Those of large public issuers take a quarter of it."""

_MAX_PARSED = 1000
# What parsing raises for a text that is not a JWK set.
_NOT_KEYS = (ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError)
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

logger = logging.getLogger(__name__)


class UnusableKeys(Exception):
    """A text is no JWK Set with which a token could be verified; the message says why."""


def require_public_keys(text: str) -> None:
    """Check keys that an operator hands in; raises UnusableKeys.

    They must be public keys only: a private or secret key must not be stored, nor sent around.
    """
    if len(text.encode()) > MAX_KEYS_SIZE:
        raise UnusableKeys(f"they have more than {MAX_KEYS_SIZE} bytes")
    try:
        document: Any = msgspec.json.decode(text)
        private = any(_PRIVATE_MEMBERS.intersection(cast("dict[str, object]", key)) for key in document["keys"])
        usable = [key.key_id for key in parsed_keys(text).keys if accepted_algorithms(key)]
    except (KeyError, *_NOT_KEYS) as error:
        raise UnusableKeys(f"they are not a JWK Set: {error}") from None
    if private:
        raise UnusableKeys("they contain a private or secret key; only public keys belong here")
    if not usable:
        raise UnusableKeys(f"none of them is for one of the algorithms {', '.join(ALGORITHMS)} (Ed25519)")


def parsed_keys(text: str) -> jwt.PyJWKSet:
    """Return the keys in a JWK Set; raises UnusableKeys."""
    try:
        return jwt.PyJWKSet.from_json(text)
    except _NOT_KEYS as error:
        raise UnusableKeys(f"they are not a JWK Set: {error}") from None


def keys_in_file(file: str) -> jwt.PyJWKSet:
    """Return the keys in a file; raises OSError, and UnusableKeys."""
    try:
        return parsed_keys(read_regular(Path(file)).decode())
    except UnicodeDecodeError:
        raise UnusableKeys("they are not a JWK Set: it is no text") from None


def accepted_algorithms(key: jwt.PyJWK) -> list[str]:
    """Return the algorithms a key may be used with.

    Of EdDSA that is Ed25519 alone, because no self-test computes with Ed448.
    """
    named = key.algorithm_name
    if isinstance(key.key, Ed448PublicKey):
        return []
    return [named] if named in ALGORITHMS else []


class IssuerKeys:
    """Parsed keys. Those of a file are read again when it has changed. Safe to use from several threads."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, jwt.PyJWKSet]] = {}
        self._texts: dict[str, jwt.PyJWKSet] = {}

    def in_text(self, text: str) -> jwt.PyJWKSet:
        """Return the keys in a text that was accepted before."""
        return self._texts.get(text) or put(self._texts, text, jwt.PyJWKSet.from_json(text), _MAX_PARSED)

    def in_file(self, issuer: str, file: str) -> jwt.PyJWKSet | None:
        """Return the keys of an issuer in a file; None, and a line in the log, if they cannot be read."""
        try:
            changed_at = Path(file).stat().st_mtime_ns
            known = self._files.get(file)
            if known is None or known[0] != changed_at:
                known = self._files[file] = (changed_at, keys_in_file(file))
        except (OSError, UnusableKeys) as error:
            logger.warning("the keys of %s cannot be read from %s: %s", issuer, file, error)
            return None
        return known[1]
