"""Imports into SoftHSM and the soft token of NSS: every wrapping algorithm, every kind of material, and the ids."""

import ast
import hashlib
import hmac
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

import strongroom.crypto.hsm
from full_depth import full_depth
from hsm_imports import (
    ELLIPTIC,
    KEY_WRAP_SHA_1,
    KEY_WRAP_SHA_256,
    OAEP_SHA_1,
    OAEP_SHA_256,
    SECRET_LENGTHS,
    Importer,
    importer,
    material_of,
    pkcs8,
    private_key,
    spki,
)
from hsm_keys import in_software
from key_import import entropy, wrap
from strongroom.crypto.backing_keys import MacKey, SymmetricKey
from strongroom.crypto.hsm import importing
from strongroom.crypto.hsm.import_trials import refused_imports
from strongroom.crypto.hsm.imported_keys import template_for
from strongroom.crypto.hsm.importing import Importing
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.hsm.kinds import kinds_of_keys
from strongroom.crypto.hsm.wrapped_keys import KeyNotKeptError
from strongroom.crypto.material import WrappedMaterial
from strongroom.crypto.material_ids import names_of
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.software import key_backend as software
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.imported_material import material_id_of
from strongroom.entropy import Batch
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

MODULES = ("softhsm", "nss")
RSA = (KeySpec.RSA_2048, KeySpec.RSA_3072, KeySpec.RSA_4096)
CASES = [
    *product(SECRET_LENGTHS, (OAEP_SHA_1, OAEP_SHA_256)),
    *product(ELLIPTIC, (OAEP_SHA_1, OAEP_SHA_256, KEY_WRAP_SHA_1, KEY_WRAP_SHA_256)),
    *product(RSA[:2], (KEY_WRAP_SHA_1, KEY_WRAP_SHA_256)),
]
Importers = Callable[[str], Importer]


@pytest.fixture(scope="module")
def importers() -> Iterator[Importers]:
    """Return the importer of each token."""
    opened: list[Any] = []

    @cache
    def get(module: Any) -> Importer:
        context = full_depth(module)
        opened.append(context)
        return Importer(context.__enter__())

    yield get
    for each in reversed(opened):
        each.__exit__(None, None, None)


def refuses(module: str, spec: KeySpec, algorithm: WrappingAlgorithm) -> bool:
    """Tell what the tokens lack: OAEP with SHA-256 in SoftHSM, a curve in NSS."""
    if module == "softhsm":
        return algorithm in {OAEP_SHA_256, KEY_WRAP_SHA_256}
    return spec is KeySpec.ECC_SECG_P256K1


def is_same(loaded: Any, material: bytes, spec: KeySpec) -> bool:
    """Tell whether a key in the token is the one that was sent, by what both do."""
    if spec is KeySpec.SYMMETRIC_DEFAULT:
        body = AesBackingKey(material, Batch(entropy, NONCES_LENGTH)).encrypt(b"text", b"aad")
        return cast("SymmetricKey", loaded).decrypt(body, b"aad") == b"text"
    if spec in SECRET_LENGTHS:
        return cast("MacKey", loaded).mac(b"m") == hmac.digest(material, b"m", f"sha{spec[-3:]}")
    algorithm = {
        KeySpec.ECC_NIST_P384: SigningAlgorithm.ECDSA_SHA_384,
        KeySpec.ECC_NIST_P521: SigningAlgorithm.ECDSA_SHA_512,
    }.get(spec, SigningAlgorithm.ECDSA_SHA_256 if spec in ELLIPTIC else SigningAlgorithm.RSASSA_PSS_SHA_256)
    signature = loaded.sign(b"message", MessageType.RAW, algorithm)
    in_software(spec, material).verify(b"message", MessageType.RAW, algorithm, signature)
    return bool(loaded.public_key() == spki(private_key(spec)))


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(("spec", "algorithm"), CASES)
def test_an_imported_key_is_the_one_that_was_sent(
    importers: Importers, module: str, spec: KeySpec, algorithm: WrappingAlgorithm
) -> None:
    it, owner, material = importers(module), importer(spec), material_of(spec)
    if refuses(module, spec, algorithm):
        for _ in range(2):
            with pytest.raises(UnsupportedOperationException) as caught:
                it.pair(algorithm, owner)
            named = (
                f"cannot import {spec} key material by WrappingAlgorithm {algorithm} with WrappingKeySpec RSA_2048: "
            )
            assert named in str(caught.value)
        return
    made = it.bring(algorithm, owner, material)
    assert made.token.startswith(b"\x13\0\0\0\x01")
    assert material not in made.token
    assert is_same(it.depth.backend.load(made.token, owner.binding(made.material_id)), material, spec)
    # The same id as in this process, in every Region, and by every algorithm.
    assert made.material_id == material_id_of(material, spec, names_of(owner))
    assert it.bring(algorithm, owner, material, made.material_id).material_id == made.material_id


@pytest.mark.parametrize("module", MODULES)
def test_what_is_refused_is_listed(importers: Importers, module: str) -> None:
    depth, kinds = importers(module).depth, kinds_of_keys(lambda: bytes(NONCES_LENGTH))
    found = refused_imports(depth.token, Importing(kinds))
    tried = [case for case in CASES if case[0] is not KeySpec.RSA_3072]
    # P-521 is not tried by OAEP, because RSA-2048 has no room for it.
    expected = {
        (algorithm, spec)
        for spec, algorithm in tried
        if refuses(module, spec, algorithm) and (spec, algorithm) != (KeySpec.ECC_NIST_P521, OAEP_SHA_256)
    }
    assert {*found} == expected
    assert all(found.values())


@pytest.mark.parametrize("spec", [WrappingKeySpec.RSA_3072, WrappingKeySpec.RSA_4096])
@pytest.mark.parametrize("module", MODULES)
def test_larger_wrapping_keys(importers: Importers, module: str, spec: WrappingKeySpec) -> None:
    it, owner, material = importers(module), importer(KeySpec.SYMMETRIC_DEFAULT), entropy(32)
    pair = it.pair(OAEP_SHA_1, owner, spec)
    encrypted = wrap(pair.public_key, OAEP_SHA_1, material)
    assert len(encrypted) == int(spec.removeprefix("RSA_")) // 8
    made = it.send(OAEP_SHA_1, owner, pair, encrypted)
    assert is_same(it.depth.backend.load(made.token, owner.binding(made.material_id)), material, owner.spec)


@pytest.mark.parametrize("module", MODULES)
def test_a_large_private_key(importers: Importers, module: str) -> None:
    it, owner, material = importers(module), importer(KeySpec.RSA_4096), material_of(KeySpec.RSA_4096)
    made = it.bring(KEY_WRAP_SHA_1, owner, material)
    assert is_same(it.depth.backend.load(made.token, owner.binding(made.material_id)), material, owner.spec)


@pytest.mark.parametrize("module", MODULES)
def test_the_same_material_has_the_same_id_in_another_region_and_another_for_another_key(
    importers: Importers, module: str
) -> None:
    it, material, here = importers(module), entropy(32), importer(KeySpec.SYMMETRIC_DEFAULT)
    there, other = importer(here.spec, region="eu-west-1"), importer(here.spec, key_id="another")
    first = it.bring(OAEP_SHA_1, here, material)
    second = it.bring(OAEP_SHA_1, there, material)
    assert first.material_id == second.material_id != it.bring(OAEP_SHA_1, other, material).material_id
    assert is_same(it.depth.backend.load(second.token, there.binding(second.material_id)), material, here.spec)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("spec", SECRET_LENGTHS)
def test_secrets_of_every_length(importers: Importers, module: str, spec: KeySpec) -> None:
    # SoftHSM pads what it wraps with zeros. To HMAC, that is the same key up to the length of a block.
    it, owner, least = importers(module), importer(spec), SECRET_LENGTHS[spec]
    block = 128 if spec in {KeySpec.HMAC_384, KeySpec.HMAC_512} else 64
    lengths = [least] if spec is KeySpec.SYMMETRIC_DEFAULT else [least, least + 1, 63, 64, 65, 72, 121, 127, 128]
    for length in sorted({max(each, least) for each in lengths}):
        material = entropy(length)
        if module == "softhsm" and length > block and length % 8:
            with pytest.raises(KeyNotKeptError):
                it.bring(OAEP_SHA_1, owner, material)
            continue
        made = it.bring(OAEP_SHA_1, owner, material)
        assert made.material_id == material_id_of(material, spec, names_of(owner))
        assert is_same(it.depth.backend.load(made.token, owner.binding(made.material_id)), material, spec)


@pytest.mark.parametrize("module", MODULES)
def test_material_keeps_the_id_that_it_got_by_another_formula(importers: Importers, module: str) -> None:
    it, secret = importers(module), entropy(32)
    owner = importer(KeySpec.SYMMETRIC_DEFAULT)
    message = b"\x00\x19imported-key-material-mac\x00\x24" + owner.key_id.encode()
    of_token = hashlib.sha256(hmac.digest(secret, message, "sha256")).hexdigest()
    assert it.bring(OAEP_SHA_1, owner, secret, "other", of_token).material_id == of_token
    prefix = b"\x00\x15imported-key-material\x00\x24" + owner.key_id.encode()
    for spec, algorithm in ((KeySpec.ECC_NIST_P256, OAEP_SHA_1), (KeySpec.RSA_2048, KEY_WRAP_SHA_1)):
        owner, material = importer(spec), material_of(spec)
        older, usual = hashlib.sha256(prefix + material).hexdigest(), material_id_of(material, spec, names_of(owner))
        # NSS hashes no secret that is longer than 256 bytes.
        expected = usual if (module, spec) == ("nss", KeySpec.RSA_2048) else older
        assert it.bring(algorithm, owner, material, older).material_id == expected
        assert it.bring(algorithm, owner, material, older, usual).material_id == usual


def test_a_token_without_digests_of_keys_identifies_them_by_an_hmac(
    importers: Importers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> bytes:
        raise CryptokiError("C_DigestKey", 0x54)

    monkeypatch.setattr(Calls, "digest_key", lacking)
    owner, material = importer(KeySpec.HMAC_256, key_id="a key of this test"), entropy(32)
    it = importers("nss")
    made = it.bring(OAEP_SHA_1, owner, material)
    assert it.bring(OAEP_SHA_1, owner, material).material_id == made.material_id
    # In this process, and in tokens that have digests, it is known again.
    usual = material_id_of(material, owner.spec, names_of(owner))
    assert usual != made.material_id == material_id_of(material, owner.spec, names_of(owner), {made.material_id})
    monkeypatch.undo()
    assert it.bring(OAEP_SHA_1, owner, material, made.material_id).material_id == made.material_id


def test_a_token_that_does_not_tell_lengths_imports_no_secrets(
    importers: Importers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> bytes:
        raise CryptokiError("C_DigestKey", 0x54)

    monkeypatch.setattr(Calls, "digest_key", lacking)
    depth, spec = importers("softhsm").depth, KeySpec.ECC_NIST_P256
    untried = HsmKeyBackend(depth.domain_keys, depth.token, entropy, depth.software)
    it = Importer(replace(depth, backend=untried))
    with pytest.raises(UnsupportedOperationException) as caught:
        it.pair(OAEP_SHA_1, importer(KeySpec.SYMMETRIC_DEFAULT))
    assert "does not tell enough of key material" in str(caught.value)
    assert it.bring(OAEP_SHA_1, importer(spec), material_of(spec)).token


def test_what_is_not_approved_is_not_imported_into_a_token_either(importers: Importers) -> None:
    it, owner = importers("softhsm"), importer(KeySpec.ECC_SECG_P256K1)
    depth, pair, material = it.depth, it.pair(OAEP_SHA_1, owner), material_of(owner.spec)
    approved = software.SoftwareKeyBackend(depth.domain_keys, entropy, approved_only=True)
    strict = Importer(replace(depth, backend=HsmKeyBackend(depth.domain_keys, depth.token, entropy, approved)))
    with pytest.raises(UnsupportedOperationException, match="fips"):
        strict.pair(OAEP_SHA_1, owner)
    with pytest.raises(UnsupportedOperationException, match="fips"):
        strict.send(OAEP_SHA_1, owner, pair, wrap(pair.public_key, OAEP_SHA_1, material))
    assert it.bring(OAEP_SHA_1, owner, material).token


@pytest.mark.parametrize("module", MODULES)
def test_material_that_moved_into_the_token_is_known_again(importers: Importers, module: str) -> None:
    it = importers(module)
    for spec in (KeySpec.SYMMETRIC_DEFAULT, KeySpec.HMAC_224, KeySpec.ECC_NIST_P384):
        owner, material = importer(spec), material_of(spec)
        backend = it.depth.software
        pair = backend.wrapping_key(WrappingKeySpec.RSA_2048, OAEP_SHA_1, owner)
        encrypted = wrap(pair.public_key, OAEP_SHA_1, material)
        before = backend.import_material(WrappedMaterial(pair.token, OAEP_SHA_1, encrypted), owner)
        token = it.depth.backend.rewrap(before.token, owner.binding(before.material_id))
        assert is_same(it.depth.backend.load(token, owner.binding(before.material_id)), material, spec)
        after = it.bring(OAEP_SHA_1, owner, material, before.material_id)
        assert after.material_id == before.material_id


@pytest.mark.parametrize("module", MODULES)
def test_a_private_key_is_the_same_material_however_it_was_encoded(importers: Importers, module: str) -> None:
    it, owner = importers(module), importer(KeySpec.ECC_NIST_P256)
    key = private_key(owner.spec)
    # The same key without its public half, which PKCS #8 may leave out (RFC 5915, 3).
    scalar = cast("Any", key).private_numbers().private_value.to_bytes(32)
    inner = b"\x30\x25\x02\x01\x01\x04\x20" + scalar
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    body = b"\x02\x01\x00" + algorithm + b"\x04" + bytes((len(inner),)) + inner
    short = b"\x30" + bytes((len(body),)) + body
    usual = it.bring(OAEP_SHA_1, owner, pkcs8(key)).material_id
    assert it.bring(OAEP_SHA_1, owner, short, usual).material_id == usual


@pytest.mark.parametrize("module", MODULES)
def test_the_material_is_never_in_this_process(
    importers: Importers, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(*_: object) -> bytes:
        pytest.fail("key material was unwrapped in this process")

    monkeypatch.setattr(software, "unwrap_material", called)
    monkeypatch.setattr(software, "accepted_material", called)
    for spec in (KeySpec.SYMMETRIC_DEFAULT, KeySpec.ECC_NIST_P256):
        assert importers(module).bring(OAEP_SHA_1, importer(spec), material_of(spec)).token


@pytest.mark.parametrize("module", MODULES)
def test_material_that_the_token_would_show_is_not_imported(
    importers: Importers, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a token does it that unwraps what can be read although it was told not to.
    it = importers(module)
    for spec in (KeySpec.SYMMETRIC_DEFAULT, KeySpec.ECC_NIST_P256):
        pair = it.pair(OAEP_SHA_1, importer(spec))
        monkeypatch.setattr(importing, "template_for", lambda *of: {**template_for(*of), c.CKA_SENSITIVE: False})
        with pytest.raises(KeyNotKeptError):
            it.send(OAEP_SHA_1, importer(spec), pair, wrap(pair.public_key, OAEP_SHA_1, material_of(spec)))
        monkeypatch.undo()


def test_no_module_of_tokens_imports_what_unwraps_here() -> None:
    unwraps = {"unwrap_material", "accepted_material", "aes_key_unwrap", "aes_key_unwrap_with_padding"}
    for path in Path(strongroom.crypto.hsm.__file__).parent.glob("*.py"):
        named = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not named & unwraps, path
        assert "software.unwrapping" not in path.read_text(), path


@pytest.mark.parametrize("module", MODULES)
def test_a_wrapping_key_unwraps_and_does_nothing_else(importers: Importers, module: str) -> None:
    it, owner = importers(module), importer(KeySpec.SYMMETRIC_DEFAULT)
    seen: list[tuple[bytes, ...]] = []
    unwrap = Calls.unwrap_key

    def watched(calls: Calls, key: int, *arguments: Any) -> int:
        kinds = (c.CKA_CLASS, c.CKA_SENSITIVE, c.CKA_EXTRACTABLE, c.CKA_DECRYPT, c.CKA_SIGN, c.CKA_UNWRAP)
        seen.append(tuple(calls.attribute(key, each, 8 if each == c.CKA_CLASS else 1)[:1] for each in kinds))
        return unwrap(calls, key, *arguments)

    it.pair(OAEP_SHA_1, owner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Calls, "unwrap_key", watched)
        it.bring(OAEP_SHA_1, owner, entropy(32))
    pairs = [each[1:] for each in seen if each[0] == bytes((c.CKO_PRIVATE_KEY,))]
    # NSS gives every use to a private key that it unwraps.
    others = c.TRUE if module == "nss" else c.FALSE
    assert pairs == [(c.TRUE, c.FALSE, others, others, c.TRUE)]


@pytest.mark.parametrize("module", MODULES)
def test_no_object_is_left(importers: Importers, module: str) -> None:
    it = importers(module)

    def objects(session: TokenSession) -> int:
        return len(session.calls.find_objects({c.CKA_TOKEN: False}))

    for spec, algorithm in ((KeySpec.HMAC_256, OAEP_SHA_1), (KeySpec.ECC_NIST_P256, KEY_WRAP_SHA_1)):
        it.pair(algorithm, importer(spec))
        before = it.depth.token.run(objects)
        it.depth.backend.wrapping_key(WrappingKeySpec.RSA_2048, algorithm, importer(spec))
        it.bring(algorithm, importer(spec), material_of(spec))
        assert it.depth.token.run(objects) == before
