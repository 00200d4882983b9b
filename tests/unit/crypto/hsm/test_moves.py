"""Keys that move: from this process into a token, to a newer key encryption key, and to another Region."""

import hmac
from typing import cast

import pytest
from msgspec.structs import replace

from full_depth import FullDepth
from key_import import wrap
from local_deployment import entropy
from strongroom.crypto.backing_keys import BackingKey, MacKey, SigningKey, SymmetricKey
from strongroom.crypto.domain_keys import create_domain_key, token_domain_key
from strongroom.crypto.hsm.wrapped_keys import KeyNotKeptError
from strongroom.crypto.material import MaterialBinding, MaterialOwner, WrappedMaterial
from strongroom.crypto.pkcs11.wrapping import ID_LENGTH, create_wrapping_key, destroy_wrapping_key
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.hmac_key import hmac_key_length
from strongroom.errors import InvalidCiphertextException, UnsupportedOperationException
from strongroom.keys.algorithms import MAC, SIGNING, MessageType
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

HERE, THERE = "us-east-1", "eu-west-1"
SECRETS = [KeySpec.SYMMETRIC_DEFAULT, *MAC]
PRIVATE = [KeySpec.RSA_2048, KeySpec.ECC_NIST_P256, KeySpec.ECC_NIST_P384, KeySpec.ECC_NIST_P521]
"""What both tokens keep."""
BLOCKS = {KeySpec.HMAC_224: 64, KeySpec.HMAC_256: 64, KeySpec.HMAC_384: 128, KeySpec.HMAC_512: 128}
HASHES = {
    KeySpec.HMAC_224: "sha224",
    KeySpec.HMAC_256: "sha256",
    KeySpec.HMAC_384: "sha384",
    KeySpec.HMAC_512: "sha512",
}


def owner(spec: KeySpec, region: str = HERE) -> MaterialBinding:
    return MaterialBinding("111122223333", region, "mrk-" + "a" * 32, "ab" * 32, spec)


class Work:
    """What a key has done, and what is to be right with the same key wherever it is."""

    def __init__(self, key: BackingKey, spec: KeySpec) -> None:
        self._spec = spec
        self._result = self._do(key)

    def _do(self, key: BackingKey) -> bytes:
        if self._spec in MAC:
            return cast("MacKey", key).mac(b"message")
        if self._spec in SIGNING:
            return cast("SigningKey", key).sign(b"message", MessageType.RAW, SIGNING[self._spec][0])
        return cast("SymmetricKey", key).encrypt(b"message", b"context")

    def holds_with(self, key: BackingKey) -> bool:
        """Return whether a key has the same material; fails the test if its own work does not hold with itself."""
        if self._spec in MAC:
            return cast("MacKey", key).mac(b"message") == self._result
        if self._spec in SIGNING:
            for signature in (self._result, self._do(key)):
                cast("SigningKey", key).verify(b"message", MessageType.RAW, SIGNING[self._spec][0], signature)
            return True
        return cast("SymmetricKey", key).decrypt(self._result, b"context") == b"message"


@pytest.mark.parametrize("spec", [*SECRETS, *PRIVATE])
def test_a_key_of_this_process_moves_into_the_token_and_stays_the_same(shallow: FullDepth, spec: KeySpec) -> None:
    shallow.store(create_domain_key(HERE, 1, shallow.seal, entropy))
    before = shallow.backend.generate(owner(spec))
    assert before.startswith(b"\x01\0\0\0\x01")
    software = shallow.backend.load(before, owner(spec))
    work = Work(software, spec)
    blocked = shallow.backend.blocks_when_loaded
    shallow.add(HERE, 2)
    assert (blocked, shallow.backend.blocks_when_loaded) == (False, True)
    after = shallow.backend.rewrap(before, owner(spec))
    assert after.startswith(b"\x13\0\0\0\x02")
    moved = shallow.backend.load(after, owner(spec))
    assert work.holds_with(moved)
    assert Work(moved, spec).holds_with(software)
    # Until all are moved, those of before are used as before.
    assert work.holds_with(shallow.backend.load(before, owner(spec)))
    shallow.drop(HERE, 1)
    assert work.holds_with(shallow.backend.load(after, owner(spec)))


def test_a_key_of_root_depth_moves_too(shallow: FullDepth) -> None:
    object_id, spec = entropy(ID_LENGTH), KeySpec.SYMMETRIC_DEFAULT
    create_wrapping_key(shallow.token, object_id, HERE, 1)
    shallow.store(token_domain_key(HERE, 1, object_id, shallow.seal))
    before = shallow.backend.generate(owner(spec))
    assert before.startswith(b"\x11\0\0\0\x01")
    work = Work(shallow.backend.load(before, owner(spec)), spec)
    shallow.add(HERE, 2)
    after = shallow.backend.rewrap(before, owner(spec))
    shallow.drop(HERE, 1)
    destroy_wrapping_key(shallow.token, object_id)
    assert work.holds_with(shallow.backend.load(after, owner(spec)))


def test_symmetric_ciphertexts_are_those_of_keys_in_this_process(shallow: FullDepth) -> None:
    shallow.store(create_domain_key(HERE, 1, shallow.seal, entropy))
    bound = owner(KeySpec.SYMMETRIC_DEFAULT)
    before = shallow.software.generate(bound)
    here = AesBackingKey(shallow.software.material(before, bound), lambda: entropy(NONCES_LENGTH))
    shallow.add(HERE, 2)
    there = cast("SymmetricKey", shallow.backend.load(shallow.backend.rewrap(before, bound), bound))
    for one, other in ((here, there), (there, here)):
        for size in (0, 1, 31, 32, 4096):
            body = one.encrypt(bytes(size), b"context")
            assert other.decrypt(body, b"context") == bytes(size)
            with pytest.raises(InvalidCiphertextException):
                other.decrypt(body, b"another context")


@pytest.mark.parametrize("spec", [*SECRETS, *PRIVATE])
def test_a_key_moves_to_a_newer_key_encryption_key(depth: FullDepth, spec: KeySpec) -> None:
    before = depth.backend.generate(owner(spec))
    work = Work(depth.backend.load(before, owner(spec)), spec)
    assert depth.backend.rewrap(before, owner(spec)) == before
    old = depth.domain_keys.of_full_depth(HERE, 1).object_id
    depth.add(HERE, 2)
    after = depth.backend.rewrap(before, owner(spec))
    assert after.startswith(b"\x13\0\0\0\x02")
    depth.drop(HERE, 1)
    destroy_wrapping_key(depth.token, old)
    assert work.holds_with(depth.backend.load(after, owner(spec)))


def test_no_key_leaves_the_token(depth: FullDepth) -> None:
    spec = KeySpec.SYMMETRIC_DEFAULT
    token = depth.backend.generate(owner(spec))
    depth.store(create_domain_key(HERE, 2, depth.seal, entropy), create_domain_key(THERE, 2, depth.seal, entropy))
    with pytest.raises(UnsealError, match="do not leave it"):
        depth.backend.rewrap(token, owner(spec))
    with pytest.raises(UnsupportedOperationException, match=THERE):
        depth.backend.replicate(token, owner(spec), THERE)
    # It goes on being used where it is.
    Work(depth.backend.load(token, owner(spec)), spec)


def test_a_copy_moves_into_the_token_of_another_region(shallow: FullDepth) -> None:
    spec = KeySpec.SYMMETRIC_DEFAULT
    shallow.store(create_domain_key(HERE, 1, shallow.seal, entropy))
    shallow.add(THERE, 1)
    single = replace(owner(spec), key_id="1234abcd-12ab-34cd-56ef-1234567890ab")
    with pytest.raises(UnsealError):
        shallow.backend.replicate(shallow.backend.generate(single), single, THERE)
    token = shallow.backend.generate(owner(spec))
    copy = shallow.backend.replicate(token, owner(spec), THERE)
    assert copy.startswith(b"\x13")
    assert Work(shallow.backend.load(token, owner(spec)), spec).holds_with(
        shallow.backend.load(copy, owner(spec, THERE))
    )
    with pytest.raises(UnsealError):
        shallow.backend.load(copy, owner(spec))


def imported(depth: FullDepth, spec: KeySpec, material: bytes) -> tuple[bytes, MaterialBinding]:
    """Import material into this process; return its token, and what it is bound to."""
    importer = MaterialOwner("111122223333", HERE, "mrk-" + "a" * 32, spec)
    algorithm = WrappingAlgorithm.RSAES_OAEP_SHA_256
    wrapping_key = depth.software.wrapping_key(WrappingKeySpec.RSA_2048, algorithm, importer)
    encrypted = wrap(wrapping_key.public_key, algorithm, material)
    made = depth.software.import_material(WrappedMaterial(wrapping_key.token, algorithm, encrypted), importer)
    return made.token, importer.binding(made.material_id)


@pytest.mark.parametrize("spec", MAC)
def test_an_imported_hmac_key_moves_as_it_is_or_not_at_all(module: str, shallow: FullDepth, spec: KeySpec) -> None:
    """SoftHSM pads keys of odd lengths, which makes another key of those that are longer than a block of their hash."""
    shallow.store(create_domain_key(HERE, 1, shallow.seal, entropy))
    lengths = [each for each in (28, 29, 32, 33, 48, 63, 64, 65, 72, 100, 127, 128) if each >= hmac_key_length(spec)]
    keys = {length: imported(shallow, spec, bytes(range(1, 1 + length))) for length in lengths}
    shallow.add(HERE, 2)
    refused = []
    for length, (token, bound) in keys.items():
        try:
            moved = shallow.backend.rewrap(token, bound)
        except KeyNotKeptError:
            refused.append(length)
        else:
            tag = cast("MacKey", shallow.backend.load(moved, bound)).mac(b"message")
            assert tag == hmac.digest(bytes(range(1, 1 + length)), b"message", HASHES[spec])
    assert refused == ([65, 100, 127] if module == "softhsm" and BLOCKS[spec] == 64 else [])
    # Nothing stays behind in the token: neither what was used and dropped, nor what was refused.
    assert shallow.temporary_objects() == 0
