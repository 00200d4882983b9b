"""Replies of the XKS proxy, for ``reply_queue``: the outcome of a call leaves when its audit record is written."""

from typing_extensions import override

from strongroom.api.reply import Reply
from strongroom.errors import KmsError
from strongroom.xks_proxy import replies
from strongroom.xks_proxy.errors import ErrorName, XksError

_JSON = "application/json"
NOT_RECORDED = XksError(ErrorName.INTERNAL, "The audit record of this call could not be written.")
"""The outcome of a call without an audit record."""


class XksReply(Reply, frozen=True):
    """The reply to a call of AWS KMS that has a record.

    ``operation`` is None all the same: that is for calls to the API of this service.
    """

    @property
    @override
    def is_recorded(self) -> bool:
        return True

    @override
    def refused(self, error: KmsError) -> Reply:
        return reply_of(NOT_RECORDED, self.request_id)


def reply_of(outcome: bytes | XksError, reply_id: str) -> XksReply:
    """Return the reply that carries the outcome of a call which has a record."""
    if isinstance(outcome, XksError):
        return XksReply(outcome.status, replies.refused(outcome), _JSON, reply_id)
    return XksReply(200, outcome, _JSON, reply_id)


def refusal_of(error: XksError, reply_id: str) -> Reply:
    """Return the reply to a request that was refused before it was worked on: it has no record."""
    return Reply(error.status, replies.refused(error), _JSON, reply_id)
