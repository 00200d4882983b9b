"""The operations of ``key_depths.py``: each through the key back end's interface, and bare."""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple, cast

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from full_depth import FullDepth
from local_deployment import entropy
from root_depth import CountedToken, RootDepth
from strongroom.crypto.backing_keys import MacKey, SigningKey, SymmetricKey
from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.hsm.key_kind import KeyKind
from strongroom.crypto.hsm.kinds import kinds_of_keys
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls, IvSource
from strongroom.crypto.pkcs11.mechanisms import Chosen
from strongroom.crypto.seals.root_key import temporary_seal
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.keys.algorithms import MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec

REGION = "us-east-1"
MESSAGE = b"%060d" % 1
DIGEST = sha256(MESSAGE).digest()
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420") + DIGEST
TEXT, ASSOCIATED = b"%032d" % 1, b"%0100d" % 1
LONGEST = 120.0
"""Seconds that one bare loop may take."""

Bare = Callable[[int], float]


class Pair(NamedTuple):
    """An operation: one call through the interface, and a loop of so many bare ones, which returns its seconds."""

    name: str
    door: Callable[[], object]
    bare: Bare


def loop(call: Callable[[], object]) -> Bare:
    """Return a loop of one call."""

    def run(calls: int) -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - begun

    return run


def owner(spec: KeySpec) -> MaterialBinding:
    return MaterialBinding("111122223333", REGION, "1234abcd-12ab-34cd-56ef-1234567890ab", f"{1:064x}", spec)


class Doors:
    """One loaded key of each kind, and the operations through the back end's interface."""

    def __init__(self, backend: KeyBackend) -> None:
        def loaded(spec: KeySpec) -> object:
            return backend.load(backend.generate(owner(spec)), owner(spec))

        self._rsa = cast("SigningKey", loaded(KeySpec.RSA_2048))
        self._curve = cast("SigningKey", loaded(KeySpec.ECC_NIST_P256))
        self._mac = cast("MacKey", loaded(KeySpec.HMAC_256))
        self._cipher = cast("SymmetricKey", loaded(KeySpec.SYMMETRIC_DEFAULT))

    def pairs(self, rsa_bare: Bare, curve_bare: Bare, mac_bare: Bare, cipher_bare: Bare) -> list[Pair]:
        """Return the pairs with these bare loops."""
        return [
            Pair("Sign RSA-2048", self._sign_rsa, rsa_bare),
            Pair("Sign P-256", self._sign_curve, curve_bare),
            Pair("GenerateMac HMAC-256", lambda: self._mac.mac(MESSAGE), mac_bare),
            Pair("Encrypt 32 bytes", lambda: self._cipher.encrypt(TEXT, ASSOCIATED), cipher_bare),
        ]

    def _sign_rsa(self) -> bytes:
        return self._rsa.sign(DIGEST, MessageType.DIGEST, SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256)

    def _sign_curve(self) -> bytes:
        return self._curve.sign(DIGEST, MessageType.DIGEST, SigningAlgorithm.ECDSA_SHA_256)


def software_pairs() -> list[Pair]:
    """Return the operations without a token; bare is the cryptographic library."""
    seal = temporary_seal(entropy)
    keys = DomainKeys([create_domain_key(REGION, 1, seal, entropy)], seal, entropy)
    rsa_key, curve_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    prf, prehashed = HMAC(entropy(32), SHA256()), Prehashed(SHA256())

    def mac(message: bytes) -> bytes:
        copied = prf.copy()
        copied.update(message)
        return copied.finalize()

    return Doors(SoftwareKeyBackend(keys, entropy)).pairs(
        loop(lambda: rsa_key.sign(DIGEST, PKCS1v15(), prehashed)),
        loop(lambda: curve_key.sign(DIGEST, ec.ECDSA(prehashed))),
        loop(lambda: mac(MESSAGE)),
        loop(lambda: AESGCM(mac(MESSAGE)).encrypt(entropy(12), TEXT, ASSOCIATED)),
    )


def root_pairs(root: RootDepth) -> list[Pair]:
    """Return what needs the token in root depth: to load a key is one decryption, and using it is software's."""
    spec = KeySpec.SYMMETRIC_DEFAULT
    token, iv, data = root.backend.generate(owner(spec)), entropy(12), entropy(32)
    attributes = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES, c.CKA_TOKEN: False, c.CKA_VALUE_LEN: 32}
    uses = {c.CKA_ENCRYPT: True, c.CKA_DECRYPT: True}
    key = root.token.run(lambda session: session.calls.generate_key({**attributes, **uses}))
    _, sealed = root.token.run(lambda session: session.calls.seal_gcm(key, iv, data, TEXT, IvSource.OURS))
    bare = in_token(root.token, lambda calls: calls.decrypt_gcm(key, iv, data, sealed))
    return [Pair("load a key (AES-GCM)", lambda: root.backend.load(token, owner(spec)), bare)]


def full_pairs(full: FullDepth) -> list[Pair]:
    """Return the operations in full depth; bare is a loop of the same calls of the token in one session."""
    kinds = kinds_of_keys(lambda: entropy(28))

    def bare(spec: KeySpec, call: Callable[[Calls, int], object]) -> Bare:
        handle = full.token.run(lambda session: _made(kinds[spec], session.calls), patience=LONGEST)
        return in_token(full.token, lambda calls: call(calls, handle))

    pkcs1, ecdsa = Chosen(c.CKM_RSA_PKCS), Chosen(c.CKM_ECDSA)
    return Doors(full.backend).pairs(
        bare(KeySpec.RSA_2048, lambda calls, key: calls.sign(key, DIGEST_INFO, pkcs1)),
        bare(KeySpec.ECC_NIST_P256, lambda calls, key: calls.sign(key, DIGEST, ecdsa)),
        bare(KeySpec.HMAC_256, lambda calls, key: calls.mac(key, MESSAGE)),
        bare(KeySpec.SYMMETRIC_DEFAULT, lambda calls, key: calls.mac(key, MESSAGE)),
    )


def _made(kind: KeyKind, calls: Calls) -> int:
    # The object lives as long as the session of this thread.
    return kind.generate(calls).handle


def in_token(token: CountedToken, call: Callable[[Calls], object]) -> Bare:
    """Return a loop of calls that runs in one session, on its thread."""

    def run(calls: int) -> float:
        return token.run(lambda session: loop(lambda: call(session.calls))(calls), patience=LONGEST)

    return run
