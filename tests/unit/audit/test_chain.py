"""The format of the audit log as documented: programs that read the files elsewhere rely on it."""

import hashlib
import json

from strongroom.audit.chain import (
    GENESIS,
    Header,
    Position,
    SegmentName,
    Unverified,
    claim_of,
    header_body,
    link,
    parse_name,
    segment_name,
    signed_bytes,
    statement_of,
)

NOON = 1_790_078_400.0


def test_a_hash_covers_the_hash_before_and_the_line_up_to_its_own() -> None:
    data, end = link([b'{"a":1}', b'{"b":[]}'], Position("w0", 7, b"f" * 64))
    previous = "f" * 64
    for sequence, line in enumerate(data.decode().splitlines(), 8):
        covered, _, rest = line.partition(',"hash":')
        chain = json.loads(line)["chain"]
        assert chain == {"writer": "w0", "sequence": sequence, "hash": rest.removesuffix('"}}').removeprefix('"')}
        assert chain["hash"] == hashlib.sha256((previous + covered).encode()).hexdigest()
        previous = chain["hash"]
    assert end == Position("w0", 9, previous.encode())
    assert claim_of(data.splitlines()[-1]) == end


def test_a_line_of_the_first_release_is_still_understood() -> None:
    data, _ = link([b'{"eventName":"ListKeys"}'], Position("w0"))
    # The hash as the program sha256sum computes it.
    digest = b"8f7accc78eb996ff3c328dd5d01ac851ee97097f2b4937882c95160e2ee94704"
    assert data == b'{"eventName":"ListKeys","chain":{"writer":"w0","sequence":1,"hash":"%b"}}\n' % digest


def test_what_a_caller_sent_is_not_taken_for_the_chain() -> None:
    forged = b'{"userAgent":",\\"chain\\":{","chain":{"writer":"w9","sequence":5,"hash":"%b"}}' % GENESIS
    data, end = link([forged], Position("w0"))
    assert claim_of(data.rstrip()) == end
    assert claim_of(b'{"eventName":"x"}') is None


def test_headers_and_statements() -> None:
    after = Position("w0", 122, b"ab" * 32)
    name = segment_name(NOON, after)
    assert name == "2026-09-22T120000Z-w0-000000000123.jsonl"
    assert json.loads(header_body(Header(name, "ab" * 32))) == {"segment": {"name": name, "previous": "ab" * 32}}
    assert json.loads(header_body(Header(name, "ab" * 32, 7, 2, 3, Unverified.ADDED)))["segment"] == {
        "name": name,
        "previous": "ab" * 32,
        "torn": 7,
        "lost": 2,
        "unvouched": 3,
        "doubt": "added",
    }
    statement = statement_of(after, NOON)
    assert json.loads(statement) == {
        "writer": "w0",
        "sequence": 122,
        "hash": "ab" * 32,
        "time": "2026-09-22T12:00:00Z",
    }
    assert signed_bytes(statement) == b"strongroom audit checkpoint 1\n" + statement


def test_names_sort_by_time_and_hold_their_first_sequence_number() -> None:
    names = [segment_name(NOON + hours * 3600, Position("w0", hours)) for hours in range(40)]
    assert names == sorted(names)
    assert parse_name(names[3]) == SegmentName("2026-09-22T150000Z", "w0", 4)
    for other in ("lock", "audit.jsonl", names[0] + ".gz", names[0].upper(), "x" + names[0]):
        assert parse_name(other) is None
