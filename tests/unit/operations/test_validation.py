"""Bodies that break their declarations: AWS's messages, with all breaches at once."""

from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from strongroom.errors import MAX_MESSAGE, SerializationException, ValidationException
from strongroom.operations.kms.table import TABLE
from strongroom.operations.shapes import SENSITIVE, KeyId, Limit, Plaintext, PolicyName, Request, Tag, matching
from strongroom.operations.validation import decode


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


class Sample(Request):
    key_id: KeyId
    policy_name: PolicyName | None = None
    limit: Limit | None = None
    secret: Plaintext | None = None
    password: Annotated[str, Meta(min_length=2, max_length=4), matching(r"[a-z]*"), SENSITIVE] | None = None
    blob: Annotated[bytes, Meta(min_length=2, max_length=4)] | None = None
    colour: Colour | None = None
    colours: list[Colour] | None = None
    tags: Annotated[list[Tag], Meta(max_length=2)] | None = None
    names: list[Annotated[str, Meta(min_length=2)]] | None = None


decoder = msgspec.json.Decoder(Sample)
LONG = "x" * 2049
OPENING = "1 validation error detected: "
VALIDATION = {
    "{}": "Value null at 'keyId' failed to satisfy constraint: Member must not be null",
    '{"KeyId":null}': "Value null at 'keyId' failed to satisfy constraint: Member must not be null",
    '{"KeyId":""}': (
        "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"
    ),
    f'{{"KeyId":"{LONG}"}}': (
        f"Value '{LONG}' at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048"
    ),
    '{"KeyId":"k","PolicyName":"a b"}': (
        "Value 'a b' at 'policyName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [\\w]+"
    ),
    '{"KeyId":"k","Limit":0}': (
        "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
    ),
    '{"KeyId":"k","Limit":1001}': (
        "Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"
    ),
    '{"KeyId":"k","Secret":""}': (
        "Value at 'secret' failed to satisfy constraint: Member must have length greater than or equal to 1"
    ),
    '{"KeyId":"k","Password":"hunter"}': (
        "Value at 'password' failed to satisfy constraint: Member must have length less than or equal to 4"
    ),
    '{"KeyId":"k","Password":"1234"}': (
        "Value at 'password' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]*"
    ),
    '{"KeyId":"k","Blob":"AAAAAAAA"}': (
        "Value 'java.nio.HeapByteBuffer[pos=0 lim=6 cap=6]' at 'blob' failed to satisfy constraint: "
        "Member must have length less than or equal to 4"
    ),
    '{"KeyId":"k","Colour":"GREEN"}': (
        "Value 'GREEN' at 'colour' failed to satisfy constraint: Member must satisfy enum value set: [RED, BLUE]"
    ),
    '{"KeyId":"k","Colours":["RED","GREEN"]}': (
        "Value '[RED, GREEN]' at 'colours' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must satisfy enum value set: [RED, BLUE]]"
    ),
    '{"KeyId":"k","Names":["ok","x"]}': (
        "Value 'x' at 'names.2.member' failed to satisfy constraint: Member must have length greater than or equal to 2"
    ),
    '{"KeyId":"k","Tags":[{"TagKey":"","TagValue":"v"}]}': (
        "Value '' at 'tags.1.member.tagKey' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    ),
}


@pytest.mark.parametrize("body", VALIDATION, ids=lambda body: body[:50])
def test_a_single_breach(body: str) -> None:
    with pytest.raises(ValidationException) as caught:
        decode(decoder, body.encode())
    assert caught.value.message == OPENING + VALIDATION[body]


def test_all_breaches_are_listed_in_one_message() -> None:
    with pytest.raises(ValidationException) as caught:
        decode(decoder, b'{"KeyId":"","Limit":0,"Colour":"GREEN"}')
    assert str(caught.value.message).startswith("3 validation errors detected: Value '' at 'keyId' failed")
    assert str(caught.value.message).count("; Value") == 2


def message_for(declared: type[Any], **members: Any) -> str:
    with pytest.raises(ValidationException) as caught:
        decode(msgspec.json.Decoder(declared), msgspec.json.encode(members))
    assert caught.value.message is not None
    return caught.value.message


def test_the_message_is_bounded_in_its_clauses() -> None:
    names = message_for(Sample, KeyId="k", Names=["x"] * 100_000)
    assert names.startswith("More than 20 validation errors detected: Value 'x' at 'names.1.member' failed")
    assert names.count("; Value") == 19
    exactly = message_for(Sample, KeyId="k", Names=["x"] * 20)
    assert exactly.startswith("20 validation errors detected: ")


def test_what_a_message_repeats_is_bounded() -> None:
    assert len(message_for(Sample, KeyId="k" * 1_000_000)) < 5_000
    colours = message_for(Sample, KeyId="k", Colours=["GREEN"] * 100_000)
    assert len(colours) < 6_000
    assert ", ...]' at 'colours' failed to satisfy constraint" in colours
    # Tags beyond the limit are shown, but not all that a caller may put into them.
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    tag = {"TagKey": "k", "TagValue": "v", "More": deep}
    assert message_for(Sample, KeyId="k", Tags=[tag] * 3).startswith(
        OPENING + "Value '[{TagKey, k, TagValue, v, More, "
    )
    every = message_for(Sample, KeyId="k", Names=["x"] * 20, PolicyName="p " * 100_000, Password="y" * 1_000_000)
    assert len(every) <= MAX_MESSAGE


def test_members_of_a_list_beyond_a_thousand_are_not_looked_at() -> None:
    tags = [{"TagKey": "k", "TagValue": "v"}] * 1000 + [{"TagKey": "", "TagValue": "v"}] * 10
    message = message_for(Sample, KeyId="k", Tags=tags)
    assert message.startswith(OPENING)
    assert message.endswith("at 'tags' failed to satisfy constraint: Member must have length less than or equal to 2")


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b'"x"', b"\xff", b'{"KeyId":5}', b'{"KeyId":{}}', b'{"KeyId":"k","Limit":"5"}',
        b'{"KeyId":"k","Limit":true}',
        b'{"KeyId":"k","Secret":"not base64"}', b'{"KeyId":"k","Colour":7}', b'{"KeyId":"k","Colours":"RED"}',
        b'{"KeyId":"k","Tags":["x"]}', b'{"KeyId":"k","Colours":["RED",1]}',
        b'{"KeyId":"k","Colours":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"KeyId":"k","Colour":[]}', b"[" * 100_000, b'{"KeyId":"\xff"}', b"{} x",
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
def test_values_of_the_wrong_type_are_refused(body: bytes) -> None:
    with pytest.raises(SerializationException):
        decode(decoder, body)


def test_unknown_members_are_ignored_and_an_empty_body_is_an_empty_object() -> None:
    assert decode(decoder, b'{"KeyId":"k","Unheard":[1]}').key_id == "k"
    assert decode(TABLE["ListKeys"].decoder, b"") == TABLE["ListKeys"].request()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(TABLE)), st.data())
def test_any_json_body_is_decoded_or_refused(name: str, data: Any) -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(TABLE[name].request)] or ["X"]
    body = data.draw(st.dictionaries(st.sampled_from(fields), json_values, max_size=4))
    with suppress(ValidationException, SerializationException):
        decode(TABLE[name].decoder, msgspec.json.encode(body))


@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with suppress(ValidationException, SerializationException):
        decode(decoder, body)
