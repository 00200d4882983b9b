"""Seal documents and the keepers of root keys that need nothing outside."""

from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec.structs import replace

from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.document import (
    SealDocument,
    SealEntry,
    SealKind,
    decode_document,
    encode_document,
    root_key_binding,
)
from strongroom.crypto.seals.file import FileKeeper, create_key_file
from strongroom.crypto.seals.kms import KmsKeeper
from strongroom.crypto.seals.passphrase import PassphraseKeeper, derived_key, new_parameters
from strongroom.crypto.seals.root_key import RootKey
from strongroom.entropy import system_entropy

ROOT = RootKey(bytes(range(32)), 3)
FAST: dict[str, str | int] = {"kdf": "argon2id", "salt": "00" * 16, "memory-kib": 64, "passes": 1, "lanes": 1}
ENTRY = SealEntry("safe", SealKind.PASSPHRASE, FAST, b"wrapped")
DOCUMENT = SealDocument(deployment="ab" * 16, generation=3, entries=(ENTRY,)).authenticated(ROOT)


def test_argon2id_is_that_of_its_rfc() -> None:
    """RFC 9106, 5.3. The seal uses neither a secret nor associated data, so the library is asked directly."""
    derived = Argon2id(
        salt=b"\x02" * 16, length=32, iterations=3, lanes=4, memory_cost=32, ad=b"\x04" * 12, secret=b"\x03" * 8
    ).derive(b"\x01" * 32)
    assert derived.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"


@pytest.mark.parametrize("approved_only", [False, True])
def test_a_passphrase_opens_what_it_has_wrapped_and_no_other_does(*, approved_only: bool) -> None:
    parameters = new_parameters(system_entropy, approved_only=approved_only)
    assert (parameters["kdf"] == "pbkdf2-hmac-sha256") is approved_only
    right = PassphraseKeeper(parameters, lambda: "correct horse", system_entropy)
    wrong = PassphraseKeeper(parameters, lambda: "correct house", system_entropy)
    wrapped = right.wrap(ROOT.key, b"binding")
    assert right.unwrap(wrapped, b"binding") == ROOT.key
    with pytest.raises(UnsealError, match="the passphrase is wrong"):
        wrong.unwrap(wrapped, b"binding")
    with pytest.raises(UnsealError):
        right.unwrap(wrapped, b"another")
    assert b"horse" not in wrapped


@pytest.mark.parametrize(
    "change",
    [
        {"kdf": "md5"},
        {"salt": "no hex"},
        {"memory-kib": 1 << 40},
        {"passes": 0},
        {"lanes": "4"},
        {"passes": 10**9},
    ],
)
def test_parameters_that_cannot_be_used_are_refused_and_not_tried(change: dict[str, str | int]) -> None:
    """Nothing is authenticated yet when they are read, so they must not take all memory or all time."""
    with pytest.raises(UnsealError):
        derived_key("passphrase", FAST | change)


def test_pbkdf2_takes_the_place_of_argon2id_where_openssl_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: object) -> object:
        raise UnsupportedAlgorithm("Argon2id is not supported by this version of OpenSSL.")

    monkeypatch.setattr("strongroom.crypto.seals.passphrase.Argon2id", missing)
    assert new_parameters(system_entropy, approved_only=False)["kdf"] == "pbkdf2-hmac-sha256"
    with pytest.raises(UnsealError, match="the OpenSSL of this installation has no argon2id"):
        derived_key("passphrase", FAST)


@pytest.mark.parametrize(
    "endpoint",
    ["http://kms.example.com", "http://10.0.0.7:4599", "http://127.0.0.1@10.0.0.7/", "http://localhost.example.com"],
)
def test_no_root_key_goes_over_a_network_as_plaintext(endpoint: str) -> None:
    keeper = KmsKeeper({"key-id": "alias/seal", "region": "us-east-1", "endpoint": endpoint}, "ab" * 16)
    for act in (keeper.wrap, keeper.unwrap):
        with pytest.raises(UnsealError, match="would carry the root key as plaintext; give an https URL"):
            act(ROOT.key, b"binding")


@pytest.mark.parametrize("endpoint", ["kms.example.com", "ftp://127.0.0.1", "http://[::1", "https://host:port", ""])
def test_what_is_no_url_of_a_service_is_refused(endpoint: str) -> None:
    keeper = KmsKeeper({"key-id": "alias/seal", "region": "us-east-1", "endpoint": endpoint}, "ab" * 16)
    with pytest.raises(UnsealError, match="is no URL of a service"):
        keeper.wrap(ROOT.key, b"binding")


def test_a_key_file_opens_what_it_has_wrapped(tmp_path: Path) -> None:
    create_key_file(tmp_path / "root-3.key", system_entropy)
    create_key_file(tmp_path / "other.key", system_entropy)
    keeper = FileKeeper(tmp_path / "root-3.key", system_entropy)
    wrapped = keeper.wrap(ROOT.key, b"binding")
    assert keeper.unwrap(wrapped, b"binding") == ROOT.key
    for name in ("other.key", "missing.key"):
        with pytest.raises(UnsealError, match=name):
            FileKeeper(tmp_path / name, system_entropy).unwrap(wrapped, b"binding")


def test_a_document_is_what_was_encoded() -> None:
    assert decode_document(encode_document(DOCUMENT)) == DOCUMENT
    DOCUMENT.require_authentic(ROOT)


@pytest.mark.parametrize(
    "changed",
    [
        replace(DOCUMENT, generation=2),
        replace(DOCUMENT, deployment="cd" * 16),
        replace(DOCUMENT, entries=(replace(ENTRY, name="other"),)),
        replace(DOCUMENT, entries=(replace(ENTRY, kind=SealKind.FILE),)),
        replace(DOCUMENT, entries=(replace(ENTRY, parameters=FAST | {"passes": 2}),)),
        replace(DOCUMENT, entries=(replace(ENTRY, wrapped=b"another"),)),
        replace(DOCUMENT, entries=(ENTRY, replace(ENTRY, name="added"))),
        replace(DOCUMENT, mac=b""),
    ],
)
def test_a_document_that_was_changed_without_the_root_key_is_refused(changed: SealDocument) -> None:
    with pytest.raises(UnsealError):
        changed.require_authentic(ROOT)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b'{"format":"other","deployment":"","generation":1,"entries":[]}', b"[" * 100_000],
)
def test_what_is_no_seal_document_is_refused(content: bytes) -> None:
    with pytest.raises(UnsealError):
        decode_document(content)


def test_a_wrapped_root_key_is_bound_to_its_place() -> None:
    places = {
        root_key_binding(DOCUMENT, ENTRY),
        root_key_binding(replace(DOCUMENT, generation=4), ENTRY),
        root_key_binding(replace(DOCUMENT, deployment="cd" * 16), ENTRY),
        root_key_binding(DOCUMENT, replace(ENTRY, name="other")),
        root_key_binding(DOCUMENT, replace(ENTRY, kind=SealKind.KMS)),
    }
    assert len(places) == 5


def test_nothing_shows_the_root_key() -> None:
    assert ROOT.key.hex() not in repr(ROOT)
    assert "\\x01\\x02" not in repr(ROOT)
