"""The findings and counts of verification for chains that are not continued correctly."""

from collections.abc import Iterable

import msgspec

from strongroom.audit.chain import Checkpoint, Header, Position, header_body, link, segment_name, statement_of
from strongroom.audit.report import Kind, Report
from strongroom.audit.verification import Verifier

NOW = 1_790_000_000.0
RECORD = b'{"eventName":"Encrypt"}'


class Segment:
    """A segment as a writer would leave it, beginning ``after`` a position; its header counts ``uncovered`` lines."""

    def __init__(self, after: Position, begun: float, uncovered: int = 0) -> None:
        self.name = segment_name(begun, after)
        self.lines: list[bytes] = []
        self.position = after
        self.add([header_body(Header(self.name, after.digest.decode(), uncovered=uncovered))])

    def add(self, bodies: Iterable[bytes]) -> Position:
        """Add lines; return where the chain stands."""
        for body in bodies:
            line, self.position = link([body], self.position)
            self.lines.append(line.rstrip(b"\n"))
        return self.position

    def sign(self) -> None:
        """Add a checkpoint."""
        statement = msgspec.Raw(statement_of(self.position, NOW))
        self.add([msgspec.json.encode(Checkpoint(statement, b"signature"))])


def walked(*segments: Segment) -> Report:
    verifier = Verifier(lambda _message, _signature: True, None)
    for segment in segments:
        verifier.begin(segment.name)
        verifier.lines(segment.lines)
        verifier.end(b"", newest=segment is segments[-1])
    return verifier.finish({})


def test_uncovered_lines_are_counted_in_a_chain_that_goes_on_from_before_its_checkpoint() -> None:
    first = Segment(Position("w0"), NOW)
    early = first.add([RECORD] * 3)
    first.add([RECORD] * 20)
    first.sign()
    second = Segment(early, NOW + 1)
    second.add([RECORD] * 2)
    third = Segment(second.position, NOW + 2, uncovered=3)
    report = walked(first, second, third)
    assert [finding.kind for finding in report.findings] == [Kind.REORDERED]
    # The header of the second segment is one of them.
    assert report.uncovered == 3


def test_a_header_with_a_negative_count_is_no_header() -> None:
    report = walked(Segment(Position("w0"), NOW, uncovered=-5))
    assert [finding.kind for finding in report.findings] == [Kind.ALTERED]
    assert report.uncovered == 0
