"""Where the parts of requests end in what a connection receives, so that the size of a head is exact.

The parser does not say how many bytes it has taken for a head. So it is given no more than the rest of one head or of
one body at a time. What a connection answers then does not depend on the pieces in which the bytes arrive.

A head ends with an empty line, and so does a chunked body, with or without trailers (RFC 9112, 2.1 and 7.1). Lines end
with CRLF: the parser refuses all others. Where an empty line is something else, in a chunk for example, the part ends
there too, which does no harm.
"""

_EMPTY_LINE = b"\r\n\r\n"
EMPTY_LINE_SIZE = len(_EMPTY_LINE)
"""Bytes at the end of a head that are none of its lines. They count."""


class Framing:
    """Divides what is received into parts.

    ``head_size`` is the size of the head that is being read, or of that of the body that is being read, in bytes. It
    includes the empty line at its end, and those before the request line.
    """

    __slots__ = ("_begun", "_body_left", "_max_head", "head_size", "in_head")

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self.begin_head()

    def begin_head(self) -> None:
        """Note that what comes next belongs to another request."""
        self.head_size = 0
        self.in_head = True
        self._body_left: int | None = None
        # The last bytes that were given to the parser, with which an empty line may have begun.
        self._begun = b""

    def begin_body(self, length: int | None) -> None:
        """Note that the head has ended, and the length of the body in bytes; None for a chunked one."""
        self.in_head = False
        self._body_left = length

    def take(self, data: bytes, start: int) -> bytes:
        """Return the part of ``data`` that begins at ``start``, to be given to the parser.

        It is empty if the head has more bytes than it may have.
        """
        if self._body_left is not None:
            part = data[start : start + self._body_left]
            self._body_left -= len(part)
            return part
        end = self._end(data, start)
        if self.in_head:
            end = min(end, start + self._max_head - self.head_size)
            self.head_size += end - start
        part = data[start:end]
        last = (self._begun + part[-EMPTY_LINE_SIZE:])[-EMPTY_LINE_SIZE:]
        self._begun = b"" if last == _EMPTY_LINE else last[1 - EMPTY_LINE_SIZE :]
        return part

    def _end(self, data: bytes, start: int) -> int:
        """Return where the next empty line ends, or else the data."""
        before = len(self._begun)
        found = (self._begun + data[start : start + EMPTY_LINE_SIZE - 1]).find(_EMPTY_LINE) if before else -1
        if found >= 0:
            return start + found + EMPTY_LINE_SIZE - before
        found = data.find(_EMPTY_LINE, start)
        return len(data) if found < 0 else found + EMPTY_LINE_SIZE
