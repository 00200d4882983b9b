"""The format of log lines, as text and as JSON."""

import json
import logging
import re
import sys
from typing import Any

import pytest

from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.logs import JsonFormatter, Sparing, TextFormatter, name_node


def record_of(message: str, *args: object, name: str = "strongroom.test", **more: Any) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, more.pop("exc_info", None))
    record.__dict__.update(more)
    return record


def test_json_is_one_object_a_line() -> None:
    record = record_of("two\nlines: %s", 'a "quote"', request_id="abc", duration=0.5)
    record.created, record.msecs = 1_790_000_000.25, 250
    line = JsonFormatter("w1").format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "WARNING",
        "logger": "strongroom.test",
        "message": 'two\nlines: a "quote"',
        "worker": "w1",
        "request_id": "abc",
        "duration": 0.5,
    }


def test_json_has_no_worker_without_one_and_no_unknown_fields() -> None:
    line = json.loads(JsonFormatter(None).format(record_of("x", grant_token="secret")))
    assert line.keys() == {"time", "level", "logger", "message"}


def test_json_names_the_node_once_it_is_known() -> None:
    lines = LogQueue(2)
    lines.setFormatter(JsonFormatter("w1"))
    name_node(lines, "a1b2c3d4e5f6")
    shown = json.loads(lines.format(record_of("x")))
    assert (shown["worker"], shown["node"]) == ("w1", "a1b2c3d4e5f6")
    lines.setFormatter(TextFormatter())
    name_node(lines, "a1b2c3d4e5f6")
    assert "a1b2c3d4e5f6" not in lines.format(record_of("x"))


def test_a_traceback_is_one_string() -> None:
    line = ""
    try:
        int("wrong")
    except ValueError:
        line = JsonFormatter("w0").format(record_of("failed", exc_info=sys.exc_info()))
    assert "\n" not in line
    exception = json.loads(line)["exception"]
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("literal for int() with base 10: 'wrong'")


@pytest.mark.parametrize("text", ["\ud800", "\x00\x1b[31m", "\u2028"])
def test_no_character_splits_a_line(text: str) -> None:
    line = JsonFormatter("w0").format(record_of("%s", text))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["level"] == "WARNING"


def test_text_ends_with_the_request_id() -> None:
    assert (
        TextFormatter().format(record_of("failed", request_id="abc")).endswith("strongroom.test: failed request_id=abc")
    )
    assert re.fullmatch(r"[\d-]+ [\d:,]+ WARNING strongroom\.test: failed", TextFormatter().format(record_of("failed")))


def test_repeated_lines_of_libraries_are_logged_once_a_minute() -> None:
    sparing = Sparing()

    def passes(name: str, at: float) -> bool:
        record = record_of("x", name=name)
        record.created = at
        return sparing.filter(record)

    logged = [passes("opentelemetry.exporter", at) for at in range(1000, 1150, 10)]
    assert logged == [at % 60 == 1000 % 60 for at in range(1000, 1150, 10)]
    assert all(passes("strongroom.store", at) for at in range(5))
