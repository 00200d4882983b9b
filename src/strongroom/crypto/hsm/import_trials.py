"""Key material that protects nothing, with which it is tried whether a token can import a spec."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.crypto.hsm.elliptic import CURVES
from strongroom.crypto.hsm.importing import Importing
from strongroom.crypto.hsm.key_encryption_keys import TEMPORARY
from strongroom.crypto.hsm.wrapped_keys import KeyNotKeptError, wrap_key, wrap_mechanism
from strongroom.crypto.hsm.wrapping_pairs import Sent, UnderKey, WrappingPair, WrappingPairKind, held
from strongroom.crypto.key_encodings import load_private_key, spki
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.software.elliptic import generate_elliptic
from strongroom.crypto.software.imported_material import RSA_BITS, secret_lengths
from strongroom.crypto.software.rsa import generate_rsa
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import IncorrectKeyMaterialException, InvalidCiphertextException, KmsError
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import (
    KEY_WRAPPING,
    OAEP_OF,
    WRAPPING_KEY_BITS,
    WrappingAlgorithm,
    WrappingKeySpec,
    can_wrap,
)

_TRIAL = "a trial"
_PATIENCE = 60.0
"""Seconds that a token may take to try the specs of an algorithm."""
_REFUSALS = (IncorrectKeyMaterialException, InvalidCiphertextException)


class Trial(msgspec.Struct, frozen=True):
    """Material of a spec, its public key (SubjectPublicKeyInfo, DER), and secret material one byte too short."""

    spec: KeySpec
    material: bytes
    public_key: bytes = b""
    too_short: bytes | None = None


def trial_of(spec: KeySpec) -> Trial:
    """Return material for the trial of a spec. RSA_2048 stands for all sizes of RSA."""
    lengths = secret_lengths(spec)
    if lengths is not None:
        return Trial(spec, bytes(range(1, lengths.start + 1)), too_short=bytes(range(1, lengths.start)))
    if spec in RSA_BITS:
        spec = KeySpec.RSA_2048
        material = generate_rsa(RSA_BITS[spec])
    else:
        material = generate_elliptic(CURVES[spec].curve)
    private = cast("ec.EllipticCurvePrivateKey", load_private_key(material))
    return Trial(spec, material, spki(private.public_key()))


def try_import(importing: Importing, session: TokenSession, pair: WrappingPair, under: UnderKey, trial: Trial) -> None:
    """Import material that protects nothing; raises what an import raises, and KeyNotKeptError."""
    sent = Sent(session.calls, pair, under, pair.wrap_here(trial.material))
    _, key = importing.run(session, sent, trial.spec, (_TRIAL,), ())
    if key.public_key != trial.public_key:
        raise KeyNotKeptError("It computes another public key.")
    if trial.too_short is None:
        return
    sent = Sent(session.calls, pair, under, pair.wrap_here(trial.too_short))
    try:
        importing.run(session, sent, trial.spec, (_TRIAL,), ())
    except IncorrectKeyMaterialException:
        return
    raise KeyNotKeptError("It does not tell the length of key material.")


def reason_of(error: CryptokiError | KmsError, session: TokenSession) -> str:
    """Return why a token cannot import something; raises the error if it says nothing about that."""
    if isinstance(error, CryptokiError) and not session.calls.is_refusal(error):
        raise error
    session.drop()
    if isinstance(error, CryptokiError):
        return str(error)
    if isinstance(error, TokenFaultError):
        return error.explanation
    return "it is not accepted there" if isinstance(error, _REFUSALS) else (error.message or error.code).rstrip(".")


def refused_imports(token: Token, importing: Importing) -> dict[tuple[WrappingAlgorithm, KeySpec], str]:
    """Return why a token cannot import material of some specs by some algorithms; raises as ``Token.run``.

    All is tried with wrapping keys of RSA_2048, as far as these hold the material. It changes nothing in the token.
    """
    refused: dict[tuple[WrappingAlgorithm, KeySpec], str] = {}
    for algorithm in OAEP_OF:
        left = [spec for spec in importing.kinds if can_wrap(algorithm, spec) and _is_tried(algorithm, spec)]
        while left:
            # What fails ends the session, so the others go on in another one.
            found = token.run(partial(_first_refused, importing, algorithm, left), patience=_PATIENCE)
            if found is None:
                break
            spec, reason = found
            failed = left if spec is None else [spec]
            refused.update({(algorithm, each): reason for each in failed})
            left = [] if spec is None else left[left.index(spec) + 1 :]
    return refused


def _is_tried(algorithm: WrappingAlgorithm, spec: KeySpec) -> bool:
    """Tell what does not stand for others, and fits: RSA_2048 for all sizes, and no P-521 in a block of RSA-2048."""
    return spec not in {KeySpec.RSA_3072, KeySpec.RSA_4096} and not (
        spec is KeySpec.ECC_NIST_P521 and algorithm not in KEY_WRAPPING
    )


def _first_refused(
    importing: Importing, algorithm: WrappingAlgorithm, specs: Sequence[KeySpec], session: TokenSession
) -> tuple[KeySpec | None, str] | None:
    """Return the first spec that is refused, None in its place if all are, and why; None if none is."""
    calls, kind = session.calls, WrappingPairKind(WRAPPING_KEY_BITS[WrappingKeySpec.RSA_2048], algorithm)
    tried: KeySpec | None = None
    try:
        with held(calls, calls.generate_key(TEMPORARY)) as handle:
            under, made = UnderKey(calls, handle, wrap_mechanism(session)), kind.generate(calls)
            with held(calls, made.handle):
                wrap_key(session, handle, kind, made)
                for tried in specs:
                    pair = kind.pair(calls, made.handle, made.public_key)
                    try_import(importing, session, pair, under, trial_of(tried))
    except (CryptokiError, KmsError) as error:
        return tried, reason_of(error, session)
    return None
