"""One row of the table: everything the service needs to know about an action."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from strongroom.audit.parameters import Parameters, parameters_of
from strongroom.keys.states import StateRule
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Locate, Target

Elements = Callable[[Any, Sequence[Target]], Mapping[str, object] | None]
"""Makes the ``responseElements`` of the audit record from the response and the targets."""


Materials = Callable[[Any, Sequence[Target]], dict[str, object]]
"""Names the key material that a call has used, in a new dictionary, from the response and the targets."""


class Lane(Enum):
    """Where a call runs. Each lane but the first has threads of its own, so that none waits behind another's work."""

    INLINE = "on the event loop: it takes some hundred microseconds at most"
    WAITING = "waits for a disk"
    SIGNING = "computes for up to a millisecond with a key; the rest of the call stays on the event loop"
    COMPUTING = "computes for milliseconds"
    GENERATING = "looks for primes, for up to seconds"


_SLOW_ALGORITHMS = (b"RSA", b"ECDSA_SHA_384", b"ECDSA_SHA_512", b"ML_DSA", b"\\")
"""Names of what is slow. Found anywhere in a body, they cost it a thread switch; and so does a backslash, behind which
JSON could hide one. An attested recipient always names one: RSAES_OAEP_SHA_256."""


PREPARED_AT_ONCE = (Lane.INLINE, Lane.SIGNING)
"""Lanes whose calls are decoded and authorized on the event loop, as soon as their signature is verified."""

_LARGE = 32 * 1024
"""What no call that only uses keys comes near. To read such a body can take longer than the event loop has."""


class _Specs(msgspec.Struct, rename="pascal"):
    """The members of a body that name a key spec, whatever they hold."""

    key_spec: object = None
    customer_master_key_spec: object = None
    key_pair_spec: object = None


_specs_decoder = msgspec.json.Decoder(_Specs)


def _never(_body: bytes) -> bool:
    return False


def _may_name_slow_algorithm(body: bytes) -> bool:
    if b"Algorithm" not in body and b"\\" not in body:
        # It names none. What AWS takes then is fast, or refused.
        return False
    for name in _SLOW_ALGORITHMS:  # noqa: SIM110 - faster than any() of a generator
        if name in body:
            return True
    return False


def _names_slow_spec(body: bytes) -> bool:
    """Tell whether a body names a spec that is slow to make; one that cannot be read will be refused, in any lane.

    It is read for that: policies and descriptions are full of backslashes and may speak of anything.
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
    """How an operation finds its lane: the usual one, the one for what is slow, and what tells whether a body is."""

    INLINE = (Lane.INLINE, Lane.INLINE, _never)
    WAITING = (Lane.WAITING, Lane.WAITING, _never)
    COMPUTING = (Lane.COMPUTING, Lane.COMPUTING, _never)
    GENERATING = (Lane.GENERATING, Lane.GENERATING, _never)
    BY_ALGORITHM = (Lane.INLINE, Lane.COMPUTING, _may_name_slow_algorithm)
    SIGNATURE = (Lane.INLINE, Lane.SIGNING, _may_name_slow_algorithm)
    KEY_PAIR = (Lane.COMPUTING, Lane.GENERATING, _names_slow_spec)
    NEW_KEY = (Lane.WAITING, Lane.GENERATING, _names_slow_spec)


class Echo(msgspec.Struct, frozen=True):
    """A second audit record that a call leaves: what it did to a key in another Region, or what followed from it.

    ``internal``: the service did it by itself, so no caller is named.
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
    """Return none: right for reads and for all cryptography."""


def key_id_element(_response: object, targets: Sequence[Target]) -> Mapping[str, object] | None:
    """Return the ARN of the one key that was changed."""
    key = targets[0].key
    return None if key is None else {"keyId": key.key.arn}


class Operation:
    """An action of a service: its name on the wire, its types, how its targets are found, and what runs it.

    ``run`` is called with the context, the request, and the key of every target that has one, in the targets' order.
    ``makes`` returns the ARN of the key an answer announces, for the audit record, and ``materials`` the key material
    that was used. ``cross_account`` operations work on
    another account's keys where policies or grants allow it; to the others such keys are never there, whatever policies
    say (KMS API Reference, "Cross-account use").
    """

    def __init__(  # noqa: PLR0913 - one row, all columns
        self,
        name: str,
        request: type[Request],
        run: Callable[..., Response],
        *,
        locate: Locate,
        rule: StateRule | None = None,
        placement: Placement = Placement.INLINE,
        read_only: bool = True,
        elements: Elements = no_elements,
        makes: Callable[[Any], str] | None = None,
        materials: Materials | None = None,
        cross_account: bool = False,
        echoes: Echoes | None = None,
        service: str = "kms",
    ) -> None:
        self.name = name
        self.request = request
        self.run = run
        self.locate = locate
        self.rule = rule
        lanes: tuple[Lane, Lane, Callable[[bytes], bool]] = placement.value
        self._lane, self._slow_lane, self._is_slow = lanes
        self.read_only = read_only
        self.elements = elements
        self.makes = makes
        self.materials = materials
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
