"""What a record holds is bounded: parameters that are too large are replaced by what CloudTrail writes instead."""

import json
from typing import Any

from strongroom.audit.cloudtrail import (
    MAX_CHANGED,
    MAX_REFUSED,
    MAX_USER_AGENT,
    RecordBody,
    RecordHead,
    encode_head,
    encode_record,
)
from strongroom.audit.user_identity import UNKNOWN_IDENTITY


def encoded(limit: int = MAX_REFUSED, **more: Any) -> tuple[bytes, dict[str, Any]]:
    line = encode_record(b"{", RecordBody(event_id="e", **more), b"}", limit)
    return line, json.loads(line)


def test_what_is_small_enough_stays_as_it_is() -> None:
    parameters = {"keyId": "k", "policy": "p" * 8000, "tags": [{"tagKey": "a", "tagValue": "b"}]}
    assert encoded(request_parameters=parameters)[1] == {
        "requestParameters": parameters,
        "responseElements": None,
        "eventID": "e",
    }


def test_the_largest_members_are_left_out_first() -> None:
    parameters = {"keyId": "k", "policy": "\n" * 8000, "tags": ["t" * 1000] * 20, "description": "d" * 1000}
    line, record = encoded(request_parameters=parameters)
    assert record["requestParameters"] == {
        "keyId": "k",
        "policy": {"reason": "policy too large", "omitted": True, "originalSize": 16_002},
        "tags": {"reason": "tags too large", "omitted": True, "originalSize": 20_061},
        "description": "d" * 1000,
    }
    assert len(line) < MAX_REFUSED


def test_many_small_members_are_left_out_together() -> None:
    parameters = {f"member{number:04}": "x" for number in range(5000)}
    line, record = encoded(request_parameters=parameters)
    size = len(json.dumps(parameters, separators=(",", ":")))
    omitted = {"reason": "requestParameters too large", "omitted": True, "originalSize": size}
    assert record["requestParameters"] == omitted
    assert len(line) < 200


def test_each_part_has_the_bound_by_itself() -> None:
    large = {"value": "x" * 1_000_000}
    line, record = encoded(request_parameters=large, response_elements=large, additional_event_data=large)
    for part in ("requestParameters", "responseElements", "additionalEventData"):
        assert record[part] == {"value": {"reason": "value too large", "omitted": True, "originalSize": 1_000_002}}
    assert len(line) < 500


def test_nothing_of_a_change_is_left_out() -> None:
    # No request has more than a megabyte, and in the record each of its bytes takes at most two.
    parameters = {"policyName": "p" * 128, "policyDocument": "\n" * 1_048_576, "tags": ["\U0001f600" * 128] * 1000}
    assert encoded(MAX_CHANGED, request_parameters=parameters)[1]["requestParameters"] == parameters


def test_a_head_has_the_beginning_of_a_long_user_agent() -> None:
    head = RecordHead(
        user_identity=UNKNOWN_IDENTITY,
        event_time="2026-03-01T12:00:00Z",
        event_name="Encrypt",
        aws_region="",
        user_agent="x" * 32_000,
    )
    encoded_head = encode_head(head)
    assert json.loads(encoded_head[:-1] + b"}")["userAgent"] == "x" * MAX_USER_AGENT
    assert len(encoded_head) < MAX_USER_AGENT + 500
