"""Objects of domain keys that a hardware token does not have any more."""

from collections.abc import Callable, Sequence

from strongroom.assembly.protections import object_id_of
from strongroom.crypto.domain_keys import DomainKeys, OpenDomainKey
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.pkcs11.wrapping import is_in_token

_AGAIN = 60.0
"""How often, in seconds, a token in which nothing is found is asked on a new connection, which costs all of the module
their sessions."""


class LostObjects:
    """Finds the domain keys whose objects a token has lost. Use it from one thread."""

    def __init__(self, token: Token, timer: Callable[[], float]) -> None:
        """``timer`` gives seconds."""
        self._token = token
        self._timer = timer
        self._lost: Sequence[OpenDomainKey] = ()
        self._next = 0.0

    def look(self, domain_keys: DomainKeys) -> Sequence[OpenDomainKey]:
        """Return the domain keys whose objects are not in the token; raises as ``Token.run``.

        What may be hidden from the present connection is looked for on a new one (``Token.search``).
        """
        missing = self._missing(domain_keys.in_token)
        if missing:
            # Another process may have destroyed an object with its domain key: the row goes first.
            domain_keys.reread()
            missing = [each for each in missing if each in domain_keys.in_token]
        if missing and (missing != self._lost or self._timer() >= self._next):
            # The first search may make a new connection, which is as good for the others.
            is_in_token(self._token, object_id_of(missing[0]))
            missing = self._missing(missing)
            self._next = self._timer() + _AGAIN
        self._lost = missing
        return missing

    def _missing(self, keys: Sequence[OpenDomainKey]) -> Sequence[OpenDomainKey]:
        # One call of the token for each: together they might take longer than a call may.
        return [each for each in keys if not is_in_token(self._token, object_id_of(each), again=False)]
