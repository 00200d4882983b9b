"""COSE and CBOR from an unknown sender: malformed input is refused at once."""

import time
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from attestations import sign
from strongroom.crypto.documents.cose import CoseError, decode_cbor, parse_sign1

KEY = generate_private_key(SECP384R1())
HEADER = cbor2.dumps({1: -35})
SIGNATURE = bytes(96)


def refusal(message: bytes) -> str:
    with pytest.raises(CoseError) as caught:
        parse_sign1(message)
    return str(caught.value)


def test_a_message_with_and_without_its_tag() -> None:
    message = sign(b"payload", KEY)
    assert cbor2.dumps(cbor2.CBORTag(18, [])).startswith(b"\xd2")
    for each in (message, b"\xd2" + message):
        parsed = parse_sign1(each)
        assert parsed.payload == b"payload"
        parsed.verify(KEY.public_key())


def test_a_signature_is_of_header_and_payload() -> None:
    parsed = parse_sign1(sign(b"payload", KEY))
    with pytest.raises(CoseError, match="does not verify"):
        parsed.verify(generate_private_key(SECP384R1()).public_key())
    with pytest.raises(CoseError, match="does not verify"):
        parse_sign1(cbor2.dumps([HEADER, {}, b"payloae", parsed.signature])).verify(KEY.public_key())


WRONG: dict[str, tuple[Any, str]] = {
    "a map": ({}, "not a COSE_Sign1"),
    "three parts": ([HEADER, {}, b""], "not a COSE_Sign1"),
    "five parts": ([HEADER, {}, b"", SIGNATURE, b""], "not a COSE_Sign1"),
    "no payload": ([HEADER, {}, None, SIGNATURE], "not a COSE_Sign1"),
    "a signature of text": ([HEADER, {}, b"", "s" * 96], "not a COSE_Sign1"),
    "a header that is no byte string": ([{1: -35}, {}, b"", SIGNATURE], "not a COSE_Sign1"),
    "ES256": ([cbor2.dumps({1: -7}), {}, b"", SIGNATURE], "headers"),
    "ES512": ([cbor2.dumps({1: -36}), {}, b"", SIGNATURE], "headers"),
    "no algorithm": ([cbor2.dumps({}), {}, b"", SIGNATURE], "headers"),
    "an empty header": ([b"", {}, b"", SIGNATURE], "CBOR"),
    "a critical header": ([cbor2.dumps({1: -35, 2: [100], 100: 1}), {}, b"", SIGNATURE], "headers"),
    "the algorithm outside": ([cbor2.dumps({}), {1: -35}, b"", SIGNATURE], "headers"),
    "an unprotected header": ([HEADER, {4: b"kid"}, b"", SIGNATURE], "headers"),
    "no unprotected headers": ([HEADER, [], b"", SIGNATURE], "headers"),
    "a header and more": ([HEADER + b"\x00", {}, b"", SIGNATURE], "follows"),
    "a short signature": ([HEADER, {}, b"", bytes(95)], "96 bytes"),
    "a DER signature": ([HEADER, {}, b"", bytes(104)], "96 bytes"),
    "another tag": (cbor2.CBORTag(17, [HEADER, {}, b"", SIGNATURE]), "CBOR"),
    "two tags": (cbor2.CBORTag(18, cbor2.CBORTag(18, [HEADER, {}, b"", SIGNATURE])), "CBOR"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_messages(name: str) -> None:
    value, says = WRONG[name]
    assert says in refusal(cbor2.dumps(value))


# -1 and -2 have the same hash, so these lists of them all have one too; as many as fit, and one of them twice.
LISTS = [b"\x8b" + bytes(0x20 + (number >> bit & 1) for bit in range(11)) + b"\0" for number in range(1300)]
COLLIDING = b"\xb9" + (1301).to_bytes(2) + b"".join((*LISTS, LISTS[0]))
HOSTILE = {
    "nothing": b"",
    "a break": b"\xff",
    "deep lists": b"\x81" * 200_000,
    "deep maps": b"\xa1\x01" * 100_000,
    "deep tags": b"\xc1" * 200_000,
    "a string of 16 EiB": b"\x5b" + b"\xff" * 8,
    "a string of 8 EiB": b"\x5b\x7f" + b"\xff" * 7,
    "a text of 2 GiB": b"\x7a\x7f\xff\xff\xff",
    "a list of 8 Ei items": b"\x9b\x7f" + b"\xff" * 7,
    "a map of 8 Ei items": b"\xbb\x7f" + b"\xff" * 7,
    "a map of 2 Gi items": b"\xba\x7f\xff\xff\xff",
    "duplicate keys": b"\xa2\x01\x02\x01\x03",
    "duplicate keys, written differently": b"\xa2\x01\x02\x18\x01\x03",
    "an indefinite list": b"\x9f\x01\xff",
    "an indefinite map": b"\xbf\x01\x01\xff",
    "an indefinite string": b"\x5f\x41\x00\xff",
    "text that is no UTF-8": b"\x62\xff\xff",
    "a reserved length": b"\x1c",
    "colliding keys": COLLIDING,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_cbor_is_refused_at_once(name: str) -> None:
    began = time.process_time()
    with pytest.raises(CoseError):
        decode_cbor(HOSTILE[name])
    assert time.process_time() - began < 1


@pytest.mark.parametrize("tag", [*range(64), *range(250, 275), 1004, 43000, 55799, 55800, 2**32, 2**64 - 1])
def test_no_tag_is_acted_on(tag: int) -> None:
    values: tuple[object, ...] = (0, "(a+)+$", b"\x01\x02", [1, 2], {})
    for value in values:
        with pytest.raises(CoseError):
            decode_cbor(cbor2.dumps(cbor2.CBORTag(tag, value)))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    refusal(data)


@given(st.lists(st.integers(0, 255), max_size=40).map(bytes))
def test_no_header_breaks_the_parser(data: bytes) -> None:
    refusal(cbor2.dumps([data, {}, b"", bytes(95)]))
