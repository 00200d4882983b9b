"""The fields of a form that are read before its signature is verified, and answers in JSON."""

import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from strongroom.api.aws_query import AwsQuery, form_field
from strongroom.errors import AccessDeniedException, KmsError, KMSInternalException, ThrottlingException
from strongroom.operations.shapes import Empty, Response

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"Action=ListUsers&Version=1", "ListUsers"),
        (b"Version=1&Action=ListUsers", "ListUsers"),
        (b"Version=1&Action=List%55sers", "ListUsers"),
        (b"Action=a+b%2", "a b%2"),
        (b"Action=", ""),
        (b"Action=one&Action=two", "one"),
        (b"Action", None),
        (b"", None),
        (b"Reaction=ListUsers", None),
        (b"Act%69on=ListUsers", None),
        (b"Action=%FF\xff", "\N{REPLACEMENT CHARACTER}ÿ"),
    ],
)
def test_the_first_field_of_a_name_is_returned(body: bytes, value: str | None) -> None:
    assert form_field(body, b"Action") == value


@pytest.mark.parametrize(
    "body", [b"%41" * (MEGABYTE // 3), b"&" * MEGABYTE, b"&Action" * (MEGABYTE // 7), b"Action=" + b"%41" * 300_000]
)
def test_reading_a_field_of_a_megabyte_is_as_fast_as_scanning_it(body: bytes) -> None:
    """Decoding the whole form takes about twenty times as long, or longer."""

    def read() -> None:
        form_field(body, b"Action")
        form_field(body, b"Version")

    assert 8 * cpu_time_of(read) < cpu_time_of(lambda: parse_qsl(body.decode(), keep_blank_values=True))


def cpu_time_of(work: Callable[[], object]) -> float:
    """Return the least CPU time of several times that something is done, which other processes disturb least."""
    took = []
    for _ in range(5):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return min(took)


class Part(Response):
    """A member with members."""

    name: str
    seconds: int | None = None


class Whole(Response):
    """An answer with members of all kinds."""

    parts: list[Part]
    flag: bool = False
    at: float = 1.5
    numbers: dict[str, int] | None = None
    absent: str | None = None


def test_an_answer_in_json_has_the_members_of_the_xml() -> None:
    whole = Whole(parts=[Part(name="a\x00<é", seconds=3), Part(name="")], numbers={"Users": 7})
    body = json.loads(AwsQuery("iam", "Do", as_json=True).reply(whole, "id").body)
    assert body == {
        "DoResponse": {
            "DoResult": {
                "Parts": [{"Name": "a\x00<é", "Seconds": 3}, {"Name": ""}],
                "Flag": False,
                "At": 1.5,
                "Numbers": {"Users": 7},
            },
            "ResponseMetadata": {"RequestId": "id"},
        }
    }
    xml = AwsQuery("iam", "Do").reply(whole, "id").body
    result = ET.fromstring(xml)[0]  # noqa: S314 - our own answer
    assert [each.tag.rpartition("}")[2] for each in result] == list(body["DoResponse"]["DoResult"])


def test_an_answer_without_members_in_json() -> None:
    body = json.loads(AwsQuery("iam", "Do", as_json=True).reply(Empty(), "id").body)
    assert body == {"DoResponse": {"ResponseMetadata": {"RequestId": "id"}}}


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (AccessDeniedException("no"), 403, {"Code": "AccessDenied", "Message": "no", "Type": "Sender"}),
        (KMSInternalException("so"), 500, {"Code": "ServiceFailure", "Message": "so", "Type": "Receiver"}),
        (ThrottlingException(), 400, {"Code": "Throttling", "Message": "Throttling", "Type": "Sender"}),
    ],
)
def test_an_error_in_json(error: KmsError, status: int, shown: dict[str, Any]) -> None:
    reply = AwsQuery("sts", as_json=True).reply(error, "id")
    assert (reply.status, reply.content_type) == (status, "application/json")
    assert json.loads(reply.body) == {"Error": shown, "RequestId": "id"}
