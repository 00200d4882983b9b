"""The parts that a server hands requests to."""

import msgspec

from strongroom.service.pipeline import Pipeline
from strongroom.service.readiness import Readiness
from strongroom.service.unauthenticated import UnauthenticatedRequests


class Service(msgspec.Struct, frozen=True):
    """What one deployment serves: verified calls, refusals of unauthenticated requests, and readiness checks."""

    pipeline: Pipeline
    unauthenticated: UnauthenticatedRequests
    readiness: Readiness
