"""The row of a table: what the service needs to know about an action."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, TypeVar

import msgspec

from strongroom.audit.parameters import Parameters, parameters_of
from strongroom.crypto.key_backends import KeyBackends
from strongroom.keys.states import ALLOWED, KeyState, StateRule
from strongroom.operations.context import Context
from strongroom.operations.lanes import LARGE_BODY, PREPARED_AT_ONCE, Lane, Placement
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Locate, Target
from strongroom.snapshot.active_key import ActiveKey

R = TypeVar("R", bound=Request)

Elements = Callable[[Any, Sequence[Target]], Mapping[str, object] | None]
"""Makes the ``responseElements`` of the audit record from the response and the targets."""


Materials = Callable[[Any, Any, Sequence[Target]], dict[str, object]]
"""Names the key material that a call has used, in a new dictionary, from the request, the response and the targets."""


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


_MATERIAL_RULES = frozenset(
    {
        StateRule.USE,
        StateRule.PUBLISH,
        StateRule.ROTATE,
        StateRule.REPLICATE,
        StateRule.PREPARE_IMPORT,
        StateRule.IMPORT,
        StateRule.DELETE_MATERIAL,
    }
)
"""Rows of the state matrix whose operations reach the key material of their keys."""


def no_elements(_response: object, _targets: Sequence[Target]) -> None:
    """Return None, as for reads and for all cryptography."""


def key_id_element(_response: object, targets: Sequence[Target]) -> Mapping[str, object] | None:
    """Return the ARN of the one key that was changed."""
    key = targets[0].key
    return None if key is None else {"keyId": key.key.arn}


class Operation:
    """An action of a service: its name on the wire, its types, how its targets are found, and what runs it.

    ``run`` is called with the context, the request, and the key of every target that has one, in the targets' order.
    ``makes`` returns the ARN of the key that an answer announces, for the audit record, and ``materials`` the key
    material that was used. ``cross_account`` operations work on another account's keys where policies or grants allow
    it. For the others such keys do not exist, whatever policies allow (KMS API Reference, "Cross-account use").
    ``key_store`` returns the key store in which a request makes a new key, or draws random bytes: a custom one's id, or
    None for the default one, and whether it is external. It returns None for a request that reaches no key store.
    ``public_key`` operations need the public half of their keys alone.
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
        materials: Materials | None = None,
        cross_account: bool = False,
        echoes: Echoes | None = None,
        key_store: Callable[[Any], tuple[str | None, bool] | None] | None = None,
        public_key: bool = False,
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
        self.materials = materials
        self.cross_account = cross_account
        self.echoes = echoes
        self.service = service
        self.action = f"{service}:{name}"
        self.uses = rule is StateRule.USE
        """Whether it counts as a use of its keys."""
        self.allowed_states = frozenset(KeyState) if rule is None else ALLOWED[rule]
        """The states in which its keys may be."""
        self.takes_recipient = request.attested_recipient is not Request.attested_recipient
        """Whether its requests may name an attested recipient."""
        self.touches_material = rule in _MATERIAL_RULES
        """Whether it uses, makes or destroys the key material of its keys."""
        self.key_store = key_store
        self.public_key = public_key
        self.decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request)
        self.parameters: Parameters = parameters_of(request)

    def lane(self, body: bytes) -> Lane:
        """Return the lane of a request as far as its body tells; ``lane_of`` decides once its keys are known."""
        lane = self._slow_lane if self._is_slow(body) else self._lane
        return Lane.COMPUTING if lane in PREPARED_AT_ONCE and len(body) > LARGE_BODY else lane

    def lane_of(self, guess: Lane, request: Request, keys: Sequence[ActiveKey], key_backends: KeyBackends) -> Lane:
        """Return the lane of an authorized call; ``guess`` is its lane as far as the body told.

        A call that reaches key material in a token or behind a network goes to ``KEY_BACKEND``, whatever the guess: if
        using any of its keys waits for that, or if the request makes material there; to ``XKS_PROXY`` if that is an
        external key manager. A call on the event loop that uses a key with a slow algorithm goes to ``SIGNING``. Any
        other call stays in its lane.
        """
        if self.touches_material:
            for key in keys:
                waits = key.blocks or (key.backend_blocks and not self.uses)
                if key.public_key_blocks if self.public_key else waits:
                    return _lane_of_back_ends(keys)
                if key.is_slow and self.uses and guess is Lane.INLINE:
                    guess = Lane.SIGNING
        elif self.key_store is not None and (place := self.key_store(request)) is not None:
            store_id, external = place
            if key_backends.store_blocks(store_id, external=external):
                return Lane.XKS_PROXY if external else Lane.KEY_BACKEND
        return guess


def _lane_of_back_ends(keys: Sequence[ActiveKey]) -> Lane:
    """Return the lane of a call some of whose keys block: that of the proxies if one needs a proxy."""
    return Lane.XKS_PROXY if any(key.is_external for key in keys) else Lane.KEY_BACKEND
