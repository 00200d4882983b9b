"""Domain keys: one AES-256 key for each scope, versioned, sealed by the root key.

A scope is a Region, whose domain key wraps the backing keys of that Region, or ``iam``, which wraps the
secrets of the service itself. The newest version wraps; older versions still unwrap.
"""

from collections.abc import Iterable

import msgspec
from typing_extensions import override

from strongroom.crypto.binding import binding
from strongroom.crypto.envelope import KEY_LENGTH, Wrapper, wrapping_version
from strongroom.crypto.seal import Seal, SealedDomainKey, UnsealError
from strongroom.entropy import Entropy


def create_domain_key(scope: str, version: int, seal: Seal, entropy: Entropy) -> SealedDomainKey:
    """Make a domain key and return it sealed."""
    return SealedDomainKey(scope, version, seal.seal(entropy(KEY_LENGTH), _binding(scope, version)))


class OpenDomainKey(msgspec.Struct, frozen=True):
    """A domain key, unsealed: only for a backup that contains the domain keys, and for its restore."""

    scope: str
    version: int
    key: bytes

    @override
    def __repr__(self) -> str:
        return f"OpenDomainKey({self.scope}, {self.version})"


def unseal_domain_keys(sealed: Iterable[SealedDomainKey], seal: Seal) -> list[OpenDomainKey]:
    """Unseal domain keys; raises UnsealError if ``seal`` has not sealed them."""
    return [
        OpenDomainKey(each.scope, each.version, seal.unseal(each.sealed, _binding(each.scope, each.version)))
        for each in sealed
    ]


def seal_domain_keys(opened: Iterable[OpenDomainKey], seal: Seal) -> list[SealedDomainKey]:
    """Seal domain keys that were unsealed."""
    return [
        SealedDomainKey(each.scope, each.version, seal.seal(each.key, _binding(each.scope, each.version)))
        for each in opened
    ]


class DomainKeys:
    """The unsealed domain keys of this process."""

    def __init__(self, sealed: Iterable[SealedDomainKey], seal: Seal, entropy: Entropy) -> None:
        """Unseal ``sealed``; raises UnsealError if the root key is not the one that sealed them."""
        self._wrappers: dict[tuple[str, int], Wrapper] = {}
        self._newest: dict[str, int] = {}
        for each in sealed:
            key = seal.unseal(each.sealed, _binding(each.scope, each.version))
            self._wrappers[each.scope, each.version] = Wrapper(key, each.version, entropy)
            self._newest[each.scope] = max(each.version, self._newest.get(each.scope, 0))

    def wrap(self, scope: str, plaintext: bytes, bound_to: bytes) -> bytes:
        """Wrap under the newest domain key of ``scope``; raises UnsealError if there is none."""
        if scope not in self._newest:
            raise UnsealError(f"no domain key for `{scope}`")
        return self._wrappers[scope, self._newest[scope]].wrap(plaintext, bound_to)

    def unwrap(self, scope: str, envelope: bytes, bound_to: bytes) -> bytes:
        """Return what was wrapped; raises UnsealError unless these keys wrapped it in ``scope`` for ``bound_to``."""
        wrapper = self._wrappers.get((scope, wrapping_version(envelope)))
        if wrapper is None:
            raise UnsealError(f"no domain key for `{scope}` opens this envelope")
        return wrapper.unwrap(envelope, bound_to)


def _binding(scope: str, version: int) -> bytes:
    return binding("domain-key", scope, str(version))
