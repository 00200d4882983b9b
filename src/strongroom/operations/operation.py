"""The row of a table: what the service needs to know about an action."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Concatenate, TypeVar

import msgspec

from strongroom.audit.parameters import Parameters, parameters_of
from strongroom.keys.states import StateRule
from strongroom.operations.context import Context
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Locate, Target

R = TypeVar("R", bound=Request)

Elements = Callable[[Any, Sequence[Target]], Mapping[str, object] | None]
"""Makes the ``responseElements`` of the audit record from the response and the targets."""


class Lane(Enum):
    """Where a call runs. Each lane but the first has its own threads, so that no call waits for one of another lane."""

    INLINE = "on the event loop: it takes some hundred microseconds at most"
    WAITING = "waits for a disk"
    SIGNING = "computes for up to a millisecond with a key; the rest of the call stays on the event loop"
    COMPUTING = "computes for milliseconds"
    GENERATING = "generates an RSA key pair, for up to seconds"


_SLOW_ALGORITHMS = (b"RSA", b"ECDSA_SHA_384", b"ECDSA_SHA_512", b"ML_DSA", b"\\")
"""Parts of the names of slow algorithms. A body that contains one runs on a thread. So does a body with a backslash,
because a JSON escape could hide a name. A request with an attested recipient always has one: RSAES_OAEP_SHA_256."""


PREPARED_AT_ONCE = (Lane.INLINE, Lane.SIGNING)
"""Lanes whose calls are decoded and authorized on the event loop, as soon as their signature is verified."""

_LARGE = 32 * 1024
"""A size that no ordinary cryptographic request has. Decoding a larger body would block the event loop for too long."""


class _Specs(msgspec.Struct, rename="pascal"):
    """The members of a body that name a key spec, of any type."""

    key_spec: object = None
    customer_master_key_spec: object = None
    key_pair_spec: object = None


_specs_decoder = msgspec.json.Decoder(_Specs)


def _never(_body: bytes) -> bool:
    return False


def _may_name_slow_algorithm(body: bytes) -> bool:
    if b"Algorithm" not in body and b"\\" not in body:
        # The body names no algorithm, so the default applies. It is fast, or the call is refused.
        return False
    for name in _SLOW_ALGORITHMS:  # noqa: SIM110 - faster than any() of a generator
        if name in body:
            return True
    return False


def _names_slow_spec(body: bytes) -> bool:
    """Tell whether a body names a spec whose keys are slow to generate.

    The body is decoded for that, because policies and descriptions can contain any text. A body that cannot be decoded
    is refused in any lane.
    """
    if b"RSA" not in body and b"\\" not in body:
        return False
    try:
        specs = _specs_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return False
    named = (specs.key_spec, specs.customer_master_key_spec, specs.key_pair_spec)
    return any(isinstance(spec, str) and spec.startswith("RSA") for spec in named)


class Placement(Enum):
    """How an operation's lane is found: the usual lane, the lane for slow requests, and what tells which a body is."""

    INLINE = (Lane.INLINE, Lane.INLINE, _never)
    WAITING = (Lane.WAITING, Lane.WAITING, _never)
    COMPUTING = (Lane.COMPUTING, Lane.COMPUTING, _never)
    GENERATING = (Lane.GENERATING, Lane.GENERATING, _never)
    BY_ALGORITHM = (Lane.INLINE, Lane.COMPUTING, _may_name_slow_algorithm)
    SIGNATURE = (Lane.INLINE, Lane.SIGNING, _may_name_slow_algorithm)
    KEY_PAIR = (Lane.COMPUTING, Lane.GENERATING, _names_slow_spec)
    NEW_KEY = (Lane.WAITING, Lane.GENERATING, _names_slow_spec)


class Echo(msgspec.Struct, frozen=True):
    """A further audit record of a call: for what it did to a key in another Region, or for a consequence of it.

    ``internal`` records have no caller: the service itself acted.
    """

    name: str
    region: str
    arn: str
    parameters: Mapping[str, object] | None = None
    elements: Mapping[str, object] | None = None
    internal: bool = False


Echoes = Callable[[Any, Any, Sequence[Target]], Sequence[Echo]]
"""Makes the further audit records of a call that succeeded, from the request, the response and the targets."""


def no_elements(_response: object, _targets: Sequence[Target]) -> None:
    """Return None, as for reads and for all cryptography."""


def key_id_element(_response: object, targets: Sequence[Target]) -> Mapping[str, object] | None:
    """Return the ARN of the one key that was changed."""
    key = targets[0].key
    return None if key is None else {"keyId": key.key.arn}


class Operation:
    """An action of a service: its name on the wire, its types, how its targets are found, and what runs it.

    ``run`` is called with the context, the request, and the key of every target that has one, in the targets' order.
    ``makes`` returns the ARN of the key that an answer announces, for the audit record. ``cross_account`` operations
    work on another account's keys where policies or grants allow it. For the others such keys do not exist, whatever
    policies allow (KMS API Reference, "Cross-account use").
    """

    def __init__(  # noqa: PLR0913 - one row, all columns
        self,
        name: str,
        request: type[R],
        run: Callable[Concatenate[Context, R, ...], Response],
        *,
        locate: Callable[[Context, R], Sequence[Target]],
        rule: StateRule | None = None,
        placement: Placement = Placement.INLINE,
        read_only: bool = True,
        elements: Elements = no_elements,
        makes: Callable[[Any], str] | None = None,
        cross_account: bool = False,
        echoes: Echoes | None = None,
        service: str = "kms",
    ) -> None:
        self.name = name
        self.request = request
        self.run: Callable[..., Response] = run
        self.locate: Locate = locate
        self.rule = rule
        lanes: tuple[Lane, Lane, Callable[[bytes], bool]] = placement.value
        self._lane, self._slow_lane, self._is_slow = lanes
        self.read_only = read_only
        self.elements = elements
        self.makes = makes
        self.cross_account = cross_account
        self.echoes = echoes
        self.service = service
        self.action = f"{service}:{name}"
        self.uses = rule is StateRule.USE
        """Whether it counts as a use of its keys."""
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request)
        self.parameters: Parameters = parameters_of(request)

    def lane(self, body: bytes) -> Lane:
        """Return the lane of a request, by its body."""
        lane = self._slow_lane if self._is_slow(body) else self._lane
        return Lane.COMPUTING if lane in PREPARED_AT_ONCE and len(body) > _LARGE else lane
