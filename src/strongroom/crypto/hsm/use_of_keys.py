"""Uses a key by every algorithm that AWS lists for its spec and usage, and checks the results in this process."""

from collections.abc import Callable, Mapping
from typing import cast

from strongroom.crypto.backing_keys import (
    AgreementKey,
    AsymmetricKey,
    BackingKey,
    DecryptionKey,
    MacKey,
    SigningKey,
    SymmetricKey,
)
from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.software.aes import AesBackingKey
from strongroom.crypto.software.hmac_key import HMAC_SPECS, HmacBackingKey, hmac_key_length
from strongroom.crypto.software.private_keys import PRIVATE_KEYS
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import InvalidCiphertextException, KmsError
from strongroom.keys.algorithms import (
    ENCRYPTION,
    KEY_AGREEMENT,
    MAC,
    SIGNING,
    Algorithm,
    EncryptionAlgorithm,
    MessageType,
    SigningAlgorithm,
)
from strongroom.keys.specs import KeySpec, KeyUsage

_TEXT, _CONTEXT = b"every algorithm", b"context"
_DIGEST_LENGTH = 64


def algorithms_of(spec: KeySpec, usage: KeyUsage) -> tuple[Algorithm, ...]:
    """Return the algorithms that AWS lists for keys of a spec and usage."""
    return _USES[usage][0][spec]


def try_algorithm(key: BackingKey, spec: KeySpec, usage: KeyUsage, algorithm: Algorithm) -> None:
    """Use a key; raises TokenFaultError if a result is wrong or is refused. What is no KmsError passes."""
    try:
        is_right = _USES[usage][1](key, spec, algorithm)
    except TokenFaultError:
        raise
    except KmsError as error:
        raise TokenFaultError(error.code) from None
    if not is_right:
        raise TokenFaultError("the result is wrong")


def known_material(spec: KeySpec) -> bytes:
    """Return material of a spec that protects nothing, as the software key back end would keep it."""
    if spec in PRIVATE_KEYS:
        return PRIVATE_KEYS[spec][0]()
    return bytes(range(KEY_LENGTH if spec is KeySpec.SYMMETRIC_DEFAULT else hmac_key_length(spec)))


def require_same(key: BackingKey, material: bytes, spec: KeySpec) -> None:
    """Raise TokenFaultError unless a key does what the same material does in this process."""
    if spec in HMAC_SPECS:
        is_same = cast("MacKey", key).mac(_TEXT) == HmacBackingKey(material, spec).mac(_TEXT)
    elif spec in PRIVATE_KEYS:
        # It was tried together with its public key before.
        is_same = cast("AsymmetricKey", key).public_key() == PRIVATE_KEYS[spec][1](material).public_key()
    else:
        body = cast("SymmetricKey", key).encrypt(_TEXT, _CONTEXT)
        try:
            is_same = AesBackingKey(material, bytes).decrypt(body, _CONTEXT) == _TEXT
        except InvalidCiphertextException:
            is_same = False
    if not is_same:
        raise TokenFaultError("known key material gives another result")


def _encrypts(key: BackingKey, _spec: KeySpec, algorithm: Algorithm) -> bool:
    if algorithm is EncryptionAlgorithm.SYMMETRIC_DEFAULT:
        symmetric = cast("SymmetricKey", key)
        return symmetric.decrypt(symmetric.encrypt(_TEXT, _CONTEXT), _CONTEXT) == _TEXT
    private, chosen = cast("DecryptionKey", key), cast("EncryptionAlgorithm", algorithm)
    return private.decrypt(private.encrypt(_TEXT, chosen), chosen) == _TEXT


def _signs(key: BackingKey, _spec: KeySpec, algorithm: Algorithm) -> bool:
    signing, chosen = cast("SigningKey", key), cast("SigningAlgorithm", algorithm)
    if chosen is SigningAlgorithm.ED25519_PH_SHA_512:
        message, kind = bytes(_DIGEST_LENGTH), MessageType.DIGEST
    else:
        message, kind = _TEXT, MessageType.RAW
    signing.verify(message, kind, chosen, signing.sign(message, kind, chosen))
    return True


def _makes_macs(key: BackingKey, _spec: KeySpec, _algorithm: Algorithm) -> bool:
    mac = cast("MacKey", key)
    mac.verify_mac(_TEXT, mac.mac(_TEXT))
    return True


def _agrees(key: BackingKey, spec: KeySpec, _algorithm: Algorithm) -> bool:
    generate, load = PRIVATE_KEYS[spec]
    ours, peer = cast("AgreementKey", key), cast("AgreementKey", load(generate()))
    return ours.agree(peer.public_key()) == peer.agree(ours.public_key())


_Use = Callable[[BackingKey, KeySpec, Algorithm], bool]
_USES: Mapping[KeyUsage, tuple[Mapping[KeySpec, tuple[Algorithm, ...]], _Use]] = {
    KeyUsage.ENCRYPT_DECRYPT: (ENCRYPTION, _encrypts),
    KeyUsage.SIGN_VERIFY: (SIGNING, _signs),
    KeyUsage.GENERATE_VERIFY_MAC: (MAC, _makes_macs),
    KeyUsage.KEY_AGREEMENT: (KEY_AGREEMENT, _agrees),
}
