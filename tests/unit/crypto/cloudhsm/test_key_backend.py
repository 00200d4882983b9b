"""The key back end of key stores in AWS CloudHSM, with a token of SoftHSM."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import cast

import pytest
from msgspec.structs import replace

from local_deployment import entropy
from softhsm import LABEL, MODULE, PIN, new_token
from strongroom.crypto.backing_keys import SymmetricKey
from strongroom.crypto.cloudhsm.key_backend import CloudHsmKeyBackend, CloudHsmKeyBackends, not_connected
from strongroom.crypto.material import MaterialBinding, MaterialOwner
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError, TokenRefusedError
from strongroom.crypto.token_versions import domain_key_version
from strongroom.errors import (
    CustomKeyStoreInvalidStateException,
    InvalidCiphertextException,
    KMSInvalidStateException,
    UnsupportedOperationException,
)
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
OWNER = MaterialBinding("111122223333", "us-east-1", KEY_ID, "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
STORE = "cks-1234567890abcdef0"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleToken]:
    before = os.environ.copy()
    os.environ.update(new_token(tmp_path_factory.mktemp("token")))
    with closing(ModuleToken(TokenAddress(MODULE, LABEL, PIN), time.monotonic)) as token:
        token.require()
        yield token
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def backend(token: ModuleToken) -> CloudHsmKeyBackend:
    return CloudHsmKeyBackend(lambda *_, **__: token, STORE, entropy)


def loaded(backend: CloudHsmKeyBackend, stored: bytes, owner: MaterialBinding = OWNER) -> SymmetricKey:
    return cast("SymmetricKey", backend.load(stored, owner))


def objects(token: ModuleToken, owner: MaterialBinding = OWNER) -> list[int]:
    identity: Attributes = {c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_ID: bytes.fromhex(owner.material_id)}
    return token.run(lambda session: session.calls.find_objects(identity))


def test_an_object_is_named_after_its_key_and_never_comes_out(backend: CloudHsmKeyBackend, token: ModuleToken) -> None:
    stored = backend.generate(OWNER)
    # It is made once, also if the attempt is repeated.
    assert backend.generate(OWNER) == stored
    (handle,) = objects(token)

    def attributes(session: TokenSession) -> dict[int, bytes]:
        kinds = (c.CKA_SENSITIVE, c.CKA_EXTRACTABLE, c.CKA_TOKEN, c.CKA_PRIVATE, c.CKA_LABEL)
        uses = (c.CKA_ENCRYPT, c.CKA_DECRYPT, c.CKA_WRAP, c.CKA_UNWRAP, c.CKA_SIGN, c.CKA_VERIFY, c.CKA_DERIVE)
        return {kind: session.calls.attribute(handle, kind) for kind in (*kinds, *uses)}

    found = token.run(attributes)
    assert found.pop(c.CKA_LABEL).decode() == f"arn:aws:kms:us-east-1:111122223333:key/{KEY_ID}"
    true = {c.CKA_SENSITIVE, c.CKA_TOKEN, c.CKA_PRIVATE, c.CKA_ENCRYPT, c.CKA_DECRYPT}
    assert {kind for kind, value in found.items() if value == c.TRUE} == true
    with pytest.raises(TokenFaultError) as kept:
        token.run(lambda session: session.calls.attribute(handle, c.CKA_VALUE))
    assert "SENSITIVE" in kept.value.explanation
    for _ in range(2):
        backend.destroy(stored, OWNER)
    assert objects(token) == []
    with pytest.raises(KMSInvalidStateException) as refused:
        loaded(backend, stored).encrypt(b"", b"")
    assert refused.value.details == {"customKeyStoreId": STORE, "cloudHsmFailure": "REFUSED"}


def test_what_was_encrypted_comes_back_unless_anything_was_changed(backend: CloudHsmKeyBackend) -> None:
    key = loaded(backend, backend.generate(OWNER))
    for length in (0, 1, 4096):
        body = key.encrypt(bytes(length), b"context")
        assert body[:2] == b"\x02\x0c"
        assert len(body) == length + 30
        assert key.decrypt(body, b"context") == bytes(length)
        assert key.encrypt(bytes(length), b"context") != body
    body = key.encrypt(b"text", b"context")
    with pytest.raises(InvalidCiphertextException):
        key.decrypt(body, b"another")
    for place in range(len(body)):
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(body[:place] + bytes((body[place] ^ 1,)) + body[place + 1 :], b"context")
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(body[:place], b"context")
    assert key.decrypt(body, b"context") == b"text"


def test_a_token_loads_with_its_binding_alone(backend: CloudHsmKeyBackend, token: ModuleToken) -> None:
    stored = backend.generate(OWNER)
    # It needs no domain key, so a new one leaves it as it is.
    assert domain_key_version(stored) is None
    assert backend.rewrap(stored, OWNER) == stored
    others = [
        replace(OWNER, account="444455556666"),
        replace(OWNER, region="eu-west-1"),
        replace(OWNER, key_id="4321abcd-12ab-34cd-56ef-1234567890ab"),
        replace(OWNER, material_id="cd" * 32),
        replace(OWNER, spec=KeySpec.HMAC_256),
    ]
    for other in others:
        for use in (backend.load, backend.destroy, backend.rewrap):
            with pytest.raises(UnsealError):
                use(stored, other)
    elsewhere = CloudHsmKeyBackend(lambda *_, **__: token, "cks-1234567890abcdef1", entropy)
    for damaged in (b"", stored[:-1], stored + b"\0", b"\x01" + stored[1:]):
        with pytest.raises(UnsealError):
            backend.load(damaged, OWNER)
    with pytest.raises(UnsealError):
        elsewhere.load(stored, OWNER)
    assert len(objects(token)) == 1


def test_what_such_a_store_cannot_hold_is_refused(backend: CloudHsmKeyBackend) -> None:
    owner = MaterialOwner(OWNER.account, OWNER.region, OWNER.key_id, OWNER.spec)
    for spec in set(KeySpec) - {KeySpec.SYMMETRIC_DEFAULT}:
        with pytest.raises(UnsupportedOperationException):
            backend.generate(replace(OWNER, spec=spec))
    with pytest.raises(UnsupportedOperationException):
        backend.wrapping_key(WrappingKeySpec.RSA_2048, WrappingAlgorithm.RSAES_OAEP_SHA_256, owner)
    with pytest.raises(UnsealError):
        backend.replicate(backend.generate(OWNER), OWNER, "eu-west-1")


def test_a_store_that_is_not_connected_loads_keys_and_uses_none(backend: CloudHsmKeyBackend) -> None:
    stored = backend.generate(OWNER)
    away = CloudHsmKeyBackends(not_connected, entropy).get(STORE)
    key = cast("SymmetricKey", away.load(stored, OWNER))
    for use in (lambda: key.encrypt(b"", b""), lambda: away.destroy(stored, OWNER)):
        with pytest.raises(KMSInvalidStateException):
            use()
    with pytest.raises(CustomKeyStoreInvalidStateException):
        away.generate(OWNER)


def test_a_token_serves_one_use(token: ModuleToken) -> None:
    """The same token by its serial number, for something else: neither is logged out."""
    connection = token.require()
    by_serial = TokenAddress(MODULE, connection.name.serial, PIN, use="another store", exclusive=True)
    with closing(ModuleToken(by_serial, time.monotonic)) as other:
        with pytest.raises(TokenRefusedError) as refused:
            other.require()
        assert "is in use as `pkcs11-token`, so it is not used as another store too" in refused.value.explanation
    generation = token.generation
    token.check()
    assert token.generation == generation
