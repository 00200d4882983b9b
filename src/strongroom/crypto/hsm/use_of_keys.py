"""Uses a key by every algorithm that AWS lists for its spec and usage, and checks the results in this process."""

from collections.abc import Callable, Mapping
from typing import cast

from strongroom.crypto.backing_keys import AgreementKey, BackingKey, DecryptionKey, MacKey, SigningKey, SymmetricKey
from strongroom.crypto.software.private_keys import PRIVATE_KEYS
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import KmsError
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


def try_all_algorithms(key: BackingKey, spec: KeySpec, usage: KeyUsage) -> None:
    """Use a key; raises TokenFaultError, which names the algorithm, if a result is wrong or an algorithm is missing.

    What is no KmsError passes.
    """
    algorithms, use = _USES[usage]
    for algorithm in algorithms[spec]:
        try:
            is_right = use(key, spec, algorithm)
        except KmsError as error:
            explanation = error.explanation if isinstance(error, TokenFaultError) else error.code
            raise TokenFaultError(f"{algorithm}: {explanation}") from None
        if not is_right:
            raise TokenFaultError(f"{algorithm}: the result is wrong")


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


def _makes_codes(key: BackingKey, _spec: KeySpec, _algorithm: Algorithm) -> bool:
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
    KeyUsage.GENERATE_VERIFY_MAC: (MAC, _makes_codes),
    KeyUsage.KEY_AGREEMENT: (KEY_AGREEMENT, _agrees),
}
