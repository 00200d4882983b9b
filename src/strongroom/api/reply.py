"""The reply to a call: an HTTP response with the call that it answers."""

from typing import Protocol

from msgspec.structs import asdict
from typing_extensions import override

from strongroom.errors import KmsError
from strongroom.http.message import HttpResponse
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Response
from strongroom.service.counters import SUCCESS


class ReplyWriter(Protocol):
    """Writes replies in the protocol of the request."""

    def reply(self, result: Response | KmsError, request_id: str, operation: Operation | None = None) -> "Reply":
        """Return the reply that carries a response or an error; ``operation`` is None if the request names none."""
        ...


class Reply(HttpResponse, frozen=True):
    """An HTTP response. The reply to a call has a line in the audit log, and must not be sent before that is written.

    ``operation`` is None if the request was no call. ``writer`` encoded the body, and can encode another. ``outcome``
    is "success" or the code of the error. ``more_headers`` are further header lines, each with its line end.
    """

    operation: Operation | None = None
    writer: ReplyWriter | None = None
    outcome: str = SUCCESS
    more_headers: str = ""

    @property
    def is_recorded(self) -> bool:
        """Whether it answers a call, which has a line in the audit log."""
        return self.operation is not None

    def refused(self, error: KmsError) -> "Reply":
        """Return the reply to the same request that carries an error instead."""
        return self if self.writer is None else self.writer.reply(error, self.request_id, self.operation)


class HeadReply(Reply, frozen=True):
    """The reply to HEAD: that to GET, with the length of its body and without the body (RFC 9110, 9.3.2)."""

    @override
    def encode(self, date: str, *, keep_alive: bool, more_headers: str = "") -> bytes:
        whole = super().encode(date, keep_alive=keep_alive, more_headers=more_headers)
        return whole[: len(whole) - len(self.body)]


def without_body(reply: Reply) -> HeadReply:
    """Return the reply to HEAD from that to GET."""
    return HeadReply(**asdict(reply))
