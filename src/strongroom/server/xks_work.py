"""What a thread of the XKS proxy does with one request, from the signature to the body of the reply."""

import asyncio
import logging
from typing import cast

import msgspec

from strongroom.errors import KmsError
from strongroom.http.connection import Connection
from strongroom.http.message import HttpRequest
from strongroom.server.xks_admission import XksAdmission
from strongroom.server.xks_replies import NOT_RECORDED
from strongroom.service.xks_calls import XksCalls, xks_error
from strongroom.service.xks_facts import XksFacts
from strongroom.service.xks_trail import XksTrail
from strongroom.xks_proxy.errors import ErrorName, XksError

logger = logging.getLogger(__name__)

Outcome = bytes | XksError
"""The body of the reply, or why there is none."""


class XksConnection(Connection):
    """A connection that keeps the common name of its client's certificate; None without one."""

    client_name: str | None = None


class Job(msgspec.Struct, eq=False):
    """A request on its way. ``reply_id`` is sent with the reply. The loop alone sets ``answered`` and ``timer``."""

    connection: Connection
    request: HttpRequest
    reply_id: str
    facts: XksFacts
    begun: bool = False
    answered: bool = False
    timer: asyncio.TimerHandle | None = None


class XksWork:
    """Performs calls. Safe to use from several threads, which may wait."""

    def __init__(self, admission: XksAdmission, calls: XksCalls, trail: XksTrail) -> None:
        self._admission = admission
        self._calls = calls
        self._trail = trail

    def perform(self, job: Job) -> Outcome:
        """Return the outcome of a call. A job that was answered while it waited is left as it is."""
        if job.answered:
            return b""
        job.begun = True
        facts = job.facts
        try:
            name = cast("XksConnection", job.connection).client_name
            self._admission.admit(job.request, name, facts)
            if not self._trail.writable():
                return NOT_RECORDED
            return self._calls.perform(facts, job.request.body)
        except XksError as error:
            return error
        except KmsError as error:
            translated = xks_error(error)
            if translated.name is ErrorName.INTERNAL:
                logger.error("a call to the XKS proxy failed: %s: %s", error.code, error)  # noqa: TRY400 - one line is enough
            return translated
