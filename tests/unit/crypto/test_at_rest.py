"""Keys at rest: envelopes, domain keys, the file seal, the software key back end, and the service's own secrets."""

import os
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from strongroom.crypto.backing_keys import SymmetricKey
from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.envelope import Wrapper, wrapping_version
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.file import create_root_key, load_file_seal
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.keys.specs import KeySpec

OWNER = MaterialBinding("111122223333", "us-east-1", "key", "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
entropy = os.urandom  # noqa: TID251 - the real thing


def test_an_envelope_opens_only_under_its_key_version_and_binding() -> None:
    wrapper = Wrapper(bytes(32), 7, entropy)
    envelope = wrapper.wrap(b"key", b"here")
    assert wrapping_version(envelope) == 7
    assert wrapper.unwrap(envelope, b"here") == b"key"
    for other, where in (
        (wrapper, b"there"),
        (Wrapper(bytes(32), 8, entropy), b"here"),
        (Wrapper(b"1" * 32, 7, entropy), b"here"),
    ):
        with pytest.raises(UnsealError):
            other.unwrap(envelope, where)


def test_every_changed_bit_of_an_envelope_is_noticed() -> None:
    wrapper = Wrapper(bytes(32), 1, entropy)
    envelope = wrapper.wrap(b"key", b"here")
    for at in range(len(envelope)):
        for bit in range(8):
            with pytest.raises(UnsealError):
                wrapper.unwrap(bytes((*envelope[:at], envelope[at] ^ (1 << bit), *envelope[at + 1 :])), b"here")


@pytest.mark.parametrize("junk", [b"", b"\x01", b"\x02" * 60])
def test_what_is_not_an_envelope(junk: bytes) -> None:
    with pytest.raises(UnsealError):
        wrapping_version(junk)


def test_bindings_cannot_run_into_each_other() -> None:
    assert binding("ab", "c") != binding("a", "bc")
    assert binding("a") != binding("a", "")


def test_older_domain_keys_still_unwrap_and_the_newest_wraps() -> None:
    seal = RootKeySeal(RootKey(bytes(32)), entropy)
    first, second = (create_domain_key("us-east-1", version, seal, entropy) for version in (1, 2))
    old = DomainKeys([first], seal, entropy).wrap("us-east-1", b"key", b"")
    both = DomainKeys([first, second], seal, entropy)
    assert both.unwrap("us-east-1", old, b"") == b"key"
    assert wrapping_version(both.wrap("us-east-1", b"key", b"")) == 2
    with pytest.raises(UnsealError):
        both.wrap("eu-west-1", b"key", b"")
    with pytest.raises(UnsealError):
        both.unwrap("eu-west-1", old, b"")


def test_domain_keys_open_only_under_the_root_key_that_sealed_them_and_in_their_scope() -> None:
    seal = RootKeySeal(RootKey(bytes(32)), entropy)
    sealed = create_domain_key("us-east-1", 1, seal, entropy)
    with pytest.raises(UnsealError):
        DomainKeys([sealed], RootKeySeal(RootKey(b"1" * 32), entropy), entropy)
    with pytest.raises(UnsealError):
        DomainKeys([replace(sealed, scope="eu-west-1")], seal, entropy)


def test_a_root_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_root_key(path, entropy)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["root.key"]
    sealed = load_file_seal(path, entropy).seal(b"domain key", b"scope")
    with pytest.raises(FileExistsError):
        create_root_key(path, entropy)
    assert load_file_seal(path, entropy).unseal(sealed, b"scope") == b"domain key"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format":"strongroom-root-key-v1","key":"AAAA"}', b"\xff"])
def test_what_is_not_a_root_key_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "root.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnsealError):
        load_file_seal(path, entropy)


def test_a_root_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    create_root_key(path, entropy)
    path.chmod(0o640)
    with pytest.raises(UnsealError, match="chmod 600"):
        load_file_seal(path, entropy)


def test_key_material_loads_only_for_the_key_it_was_made_for(key_backend: SoftwareKeyBackend) -> None:
    token = key_backend.generate(OWNER)
    body = cast("SymmetricKey", key_backend.load(token, OWNER)).encrypt(b"secret", b"")
    assert cast("SymmetricKey", key_backend.load(token, OWNER)).decrypt(body, b"") == b"secret"
    for field, value in (
        ("account", "444455556666"),
        ("region", "eu-west-1"),
        ("key_id", "other"),
        ("material_id", "cd" * 32),
        ("spec", KeySpec.HMAC_256),
    ):
        with pytest.raises(UnsealError):
            key_backend.load(token, replace(OWNER, **{field: value}))


def test_material_of_a_multi_region_key_is_wrapped_anew_for_each_region(key_backend: SoftwareKeyBackend) -> None:
    here = replace(OWNER, key_id="mrk-" + "a" * 32)
    there = replace(here, region="eu-west-1")
    token = key_backend.generate(here)
    copy = key_backend.replicate(token, here, "eu-west-1")
    body = cast("SymmetricKey", key_backend.load(token, here)).encrypt(b"secret", b"")
    assert cast("SymmetricKey", key_backend.load(copy, there)).decrypt(body, b"") == b"secret"
    for wrapped, owner in ((token, there), (copy, here), (copy, replace(there, material_id="cd" * 32))):
        with pytest.raises(UnsealError):
            key_backend.load(wrapped, owner)
    with pytest.raises(UnsealError):
        key_backend.replicate(copy, here, "eu-west-1")


def test_material_of_a_single_region_key_never_gets_to_another_region(key_backend: SoftwareKeyBackend) -> None:
    token = key_backend.generate(OWNER)
    with pytest.raises(UnsealError, match="stays in its Region"):
        key_backend.replicate(token, OWNER, "eu-west-1")
    with pytest.raises(UnsealError):
        key_backend.load(token, replace(OWNER, region="eu-west-1"))
    with pytest.raises(UnsealError):
        key_backend.replicate(token, replace(OWNER, key_id="mrk-" + "a" * 32), "eu-west-1")


def test_secrets_are_bound_to_their_owner(service_secrets: ServiceSecrets) -> None:
    wrapped = service_secrets.wrap(b"secret", b"AKIA1")
    assert b"secret" not in wrapped
    assert service_secrets.unwrap(wrapped, b"AKIA1") == b"secret"
    with pytest.raises(UnsealError):
        service_secrets.unwrap(wrapped, b"AKIA2")
