"""The stages of a call. Each is a type of its own; a step of the pipeline takes exactly what the one before returns.

    Call → prepare → Prepared  → run → Completed → record → the response
                     Refused           Refused   → record → the error
                     Suspended         Suspended → prepare again, on a thread that may wait

They are final, so that ``type(stage) is Prepared`` tells them apart: isinstance costs three times as much for a Struct.
"""

from collections.abc import Sequence
from typing import final

import msgspec

from strongroom.crypto.documents.attestation import Attested
from strongroom.errors import KmsError
from strongroom.operations.context import Context
from strongroom.operations.lanes import Lane
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Target
from strongroom.service.call import Call
from strongroom.snapshot.active_key import ActiveKey
from strongroom.snapshot.principals import Credential


@final
class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A call that is decoded, located, authorized and charged to its quota; ``lane`` is where it runs."""

    call: Call
    context: Context
    request: Request
    targets: Sequence[Target]
    keys: Sequence[ActiveKey]
    lane: Lane


@final
class Completed(msgspec.Struct, frozen=True, gc=False):
    """A call that has run, and what its audit record tells."""

    call: Call
    credential: Credential
    request: Request
    targets: Sequence[Target]
    attested: Attested | None
    result: Response


@final
class Refused(msgspec.Struct, frozen=True):
    """A call that ended in an error, and what its audit record tells: as much as was known by then.

    ``request`` is None if the body was not decoded. ``targets`` is empty if they were not located.
    """

    call: Call
    credential: Credential
    request: Request | None
    targets: Sequence[Target]
    attested: Attested | None
    result: KmsError


@final
class Suspended(msgspec.Struct, frozen=True):
    """A call that needs the store where it may not wait: it is prepared again on a thread where it may.

    ``quota_spent`` tells whether it was charged to its request quota already, so that it is not charged twice.
    """

    call: Call
    quota_spent: bool
