"""Keys of full depth in use: what they are in the token, when they are there, and what happens when it fails."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

import softhsm
from full_depth import FullDepth, Module, full_depth, full_depth_at
from server_processes import wait_until
from softhsm import FaultyModule
from strongroom.crypto.backing_keys import MacKey, SymmetricKey
from strongroom.crypto.binding import binding
from strongroom.crypto.hsm.wrapped_keys import WrappedKey, opened, token_of
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.wrapping import destroy_wrapping_key, key_encryption_key
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError, TokenTimeoutError, TokenUnavailableError
from strongroom.errors import InvalidCiphertextException, KMSInvalidMacException
from strongroom.keys.specs import KeySpec

OWNER = MaterialBinding(
    "111122223333", "us-east-1", "1234abcd-12ab-34cd-56ef-1234567890ab", "ab" * 32, KeySpec.SYMMETRIC_DEFAULT
)
MAC_OWNER = replace(OWNER, spec=KeySpec.HMAC_256)
USES = ("ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "SIGN", "VERIFY", "DERIVE")
_MOST = 8


def symmetric_key(depth: FullDepth) -> SymmetricKey:
    return cast("SymmetricKey", depth.backend.load(depth.backend.generate(OWNER), OWNER))


def mac_key(depth: FullDepth) -> MacKey:
    return cast("MacKey", depth.backend.load(depth.backend.generate(MAC_OWNER), MAC_OWNER))


def attributes(depth: FullDepth, find: Callable[[TokenSession], int], *names: str) -> dict[str, bool]:
    """Return attributes of an object that are true or false."""

    def work(session: TokenSession) -> dict[str, bool]:
        handle = find(session)
        return {name: session.calls.attribute(handle, getattr(c, f"CKA_{name}")) == c.TRUE for name in names}

    return depth.token.run(work)


def the_temporary_object(session: TokenSession) -> int:
    (handle,) = session.calls.find_objects({c.CKA_TOKEN: False})
    return handle


def test_a_key_in_use_is_sensitive_stays_inside_and_has_one_use(depth: FullDepth) -> None:
    key = mac_key(depth)
    key.mac(b"")
    found = attributes(depth, the_temporary_object, "SENSITIVE", "EXTRACTABLE", "PRIVATE", *USES)
    assert {name for name, is_set in found.items() if is_set} == {"SENSITIVE", "PRIVATE", "SIGN"}


def test_a_key_encryption_key_wraps_and_unwraps_and_does_nothing_else(depth: FullDepth) -> None:
    object_id = depth.domain_keys.of_full_depth("us-east-1", 1).object_id
    found = attributes(
        depth,
        lambda session: key_encryption_key(session, object_id),
        *("TOKEN", "SENSITIVE", "EXTRACTABLE", "PRIVATE", *USES),
    )
    expected = {"TOKEN", "SENSITIVE", "PRIVATE", "WRAP", "UNWRAP"}
    assert {name for name, is_set in found.items() if is_set} == expected


def test_softhsm_unwraps_nothing_that_can_be_read(softhsm_depth: FullDepth) -> None:
    token = softhsm_depth.backend.generate(MAC_OWNER)
    domain_key, key = opened(softhsm_depth.domain_keys, "us-east-1", token, fields(MAC_OWNER))

    def unwrap(session: TokenSession, *, sensitive: bool) -> int:
        under = key_encryption_key(session, domain_key.object_id)
        template = {**softhsm_depth.backend.kinds[KeySpec.HMAC_256].template(extractable=True)}
        template[c.CKA_SENSITIVE] = sensitive
        mechanism = session.known_answers.wrap
        assert mechanism is not None
        handle = session.calls.unwrap_key(under, key.wrapped, template, mechanism)
        session.calls.destroy_object(handle)
        return handle

    assert softhsm_depth.token.run(lambda session: unwrap(session, sensitive=True))
    with pytest.raises(TokenFaultError) as caught:
        softhsm_depth.token.run(lambda session: unwrap(session, sensitive=False))
    assert "TEMPLATE_INCONSISTENT" in caught.value.explanation


def test_a_key_is_unwrapped_when_it_is_first_used_and_destroyed_when_it_is_dropped(depth: FullDepth) -> None:
    token = depth.backend.generate(OWNER)
    calls = depth.token.calls
    key = cast("SymmetricKey", depth.backend.load(token, OWNER))
    assert depth.token.calls == calls
    assert depth.temporary_objects() == 0
    body = key.encrypt(b"message", b"context")
    assert key.decrypt(body, b"context") == b"message"
    assert depth.temporary_objects() == 1
    again = cast("SymmetricKey", depth.backend.load(token, OWNER))
    assert again.decrypt(body, b"context") == b"message"
    assert depth.temporary_objects() == 2
    del key
    gc.collect()
    assert depth.temporary_objects() == 1
    assert again.decrypt(body, b"context") == b"message"


def test_a_key_that_was_never_used_leaves_nothing_to_destroy(softhsm_depth: FullDepth) -> None:
    """While a token is away, keys are loaded and dropped again and again, and none of their names is kept."""
    token = softhsm_depth.backend.generate(OWNER)
    for _ in range(3):
        softhsm_depth.backend.load(token, OWNER)
    unused = softhsm_depth.module_token.discarded
    cast("SymmetricKey", softhsm_depth.backend.load(token, OWNER)).encrypt(b"", b"")
    assert (unused, softhsm_depth.module_token.discarded) == (0, 1)


def test_a_bounded_number_of_keys_is_in_the_token_and_all_can_be_used(module: Module) -> None:
    with full_depth(module, handles=_MOST) as depth:
        keys = [mac_key(depth) for _ in range(3 * _MOST)]
        tags = [key.mac(b"message") for key in keys]
        assert len({*tags}) == len(tags)
        assert depth.temporary_objects() == _MOST
        for _ in range(2):
            assert [key.mac(b"message") for key in keys] == tags
        assert depth.temporary_objects() == _MOST


def test_threads_that_evict_each_others_keys_get_the_right_results(module: Module) -> None:
    with full_depth(module, handles=_MOST) as depth:
        keys = [mac_key(depth) for _ in range(2 * _MOST)]
        tags = [key.mac(b"message") for key in keys]
        generation = depth.token.generation

        def use(start: int) -> None:
            for step in range(200):
                number = (start + 3 * step) % len(keys)
                assert keys[number].mac(b"message") == tags[number]

        with ThreadPoolExecutor(6) as threads:
            for done in [threads.submit(use, start) for start in range(6)]:
                done.result()
        assert depth.token.generation == generation


def test_data_that_are_not_valid_are_refused_as_in_this_process(depth: FullDepth) -> None:
    symmetric, mac = symmetric_key(depth), mac_key(depth)
    body = symmetric.encrypt(b"message", b"context")
    calls = depth.token.calls
    for damaged in (b"", body[:44], b"\x02" + body[1:]):
        with pytest.raises(InvalidCiphertextException):
            symmetric.decrypt(damaged, b"context")
    # What is no ciphertext at all does not reach the token.
    assert depth.token.calls == calls
    with pytest.raises(InvalidCiphertextException):
        symmetric.decrypt(body[:-1] + bytes((body[-1] ^ 1,)), b"context")
    tag = mac.mac(b"message")
    for wrong in (b"", tag[:-1], tag + b"\0", bytes(32)):
        with pytest.raises(KMSInvalidMacException):
            mac.verify_mac(b"message", wrong)


def test_every_byte_of_a_stored_token_counts(depth: FullDepth) -> None:
    token = depth.backend.generate(OWNER)
    for place in range(len(token)):
        damaged = bytearray(token)
        damaged[place] ^= 1
        with pytest.raises(UnsealError):
            depth.backend.load(bytes(damaged), OWNER)
    for length in range(len(token)):
        with pytest.raises(UnsealError):
            depth.backend.load(token[:length], OWNER)
    with pytest.raises(UnsealError):
        depth.backend.load(token, replace(OWNER, key_id="another"))


def test_content_of_another_release_is_not_used(depth: FullDepth) -> None:
    domain_key, _ = opened(depth.domain_keys, "us-east-1", depth.backend.generate(OWNER), fields(OWNER))
    for content in (b"", b"\x01", b"\x01\0\0", b"\x02\0\0" + bytes(40), b"\x01\0\x04abcd", b"\x01\xff\xff" + bytes(40)):
        token = b"\x13" + domain_key.wrapper.wrap(content, fields(OWNER))[1:]
        with pytest.raises(UnsealError, match="another way"):
            depth.backend.load(token, OWNER)


def test_a_key_that_another_key_has_wrapped_is_a_fault_of_the_service(depth: FullDepth) -> None:
    domain_key, key = opened(depth.domain_keys, "us-east-1", depth.backend.generate(OWNER), fields(OWNER))
    damaged = key.wrapped[:-1] + bytes((key.wrapped[-1] ^ 1,))
    token = token_of(domain_key, WrappedKey(damaged), fields(OWNER))
    loaded = cast("SymmetricKey", depth.backend.load(token, OWNER))
    good = symmetric_key(depth)
    body = good.encrypt(b"message", b"")
    with pytest.raises((TokenFaultError, TokenUnavailableError)):
        loaded.decrypt(body, b"")
    depth.wait_until_well()
    assert good.decrypt(body, b"") == b"message"


def test_without_its_key_encryption_key_a_key_is_a_fault_of_the_service(depth: FullDepth) -> None:
    key = symmetric_key(depth)
    elsewhere = replace(OWNER, region="eu-west-1")
    other = cast("SymmetricKey", depth.backend.load(depth.backend.generate(elsewhere), elsewhere))
    object_id = depth.domain_keys.of_full_depth("us-east-1", 1).object_id
    destroy_wrapping_key(depth.token, object_id)
    with pytest.raises(TokenFaultError) as caught:
        key.encrypt(b"message", b"")
    assert caught.value.explanation.endswith(f": it has no object {object_id.hex()} any more")
    with pytest.raises(TokenFaultError):
        depth.backend.generate(OWNER)
    assert other.decrypt(other.encrypt(b"message", b""), b"") == b"message"


def test_while_the_token_is_away_keys_load_and_their_use_is_refused(depth: FullDepth) -> None:
    token = depth.backend.generate(OWNER)
    depth.token.answers = False
    key = cast("SymmetricKey", depth.backend.load(token, OWNER))
    with pytest.raises(TokenUnavailableError):
        key.encrypt(b"", b"")
    with pytest.raises(TokenUnavailableError):
        depth.backend.generate(OWNER)
    depth.token.answers = True
    assert key.decrypt(key.encrypt(b"message", b""), b"") == b"message"


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyModule:
    module = FaultyModule(tmp_path)
    for name, value in {**module.environment, **softhsm.new_token(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    return module


@pytest.fixture
def faulty_depth(faulty: FaultyModule) -> Iterator[FullDepth]:
    with full_depth_at(TokenAddress(faulty.path, softhsm.LABEL, softhsm.PIN, threads=6)) as depth:
        yield depth
        faulty.behave("")


def test_keys_are_used_again_after_the_token_was_gone(faulty: FaultyModule, faulty_depth: FullDepth) -> None:
    key, generation = symmetric_key(faulty_depth), faulty_depth.token.generation
    body = key.encrypt(b"message", b"")
    faulty.behave("gone")
    with pytest.raises(TokenUnavailableError):
        key.decrypt(body, b"")
    faulty.behave("")
    faulty_depth.wait_until_well()
    assert faulty_depth.token.generation > generation
    assert key.decrypt(body, b"") == b"message"
    assert faulty_depth.temporary_objects() == 1


def test_threads_get_right_results_or_typed_errors_while_the_token_comes_and_goes(
    faulty: FaultyModule, faulty_depth: FullDepth
) -> None:
    keys = [mac_key(faulty_depth) for _ in range(8)]
    tags = [key.mac(b"message") for key in keys]
    over, done = threading.Event(), [0] * 4

    def use(number: int) -> None:
        step = 0
        while not over.is_set():
            step += 1
            try:
                tag = keys[step % len(keys)].mac(b"message")
            except (TokenUnavailableError, TokenFaultError, TokenTimeoutError):
                continue
            assert tag == tags[step % len(keys)]
            done[number] += 1

    with ThreadPoolExecutor(len(done)) as threads:
        users = [threads.submit(use, number) for number in range(len(done))]
        for behaviour in ("gone", "", "slow 5", "", "gone", ""):
            faulty.behave(behaviour)
            over.wait(0.3)
        faulty_depth.wait_until_well()
        before = [*done]
        try:
            wait_until(
                lambda: (
                    any(user.done() for user in users)
                    or all(after > number for after, number in zip(done, before, strict=True))
                )
            )
        finally:
            over.set()
        for user in users:
            user.result()


def fields(owner: MaterialBinding) -> bytes:
    return binding("hsm-key-material", owner.account, owner.region, owner.key_id, owner.material_id, owner.spec)
