"""A simulator of a hardware security module as a key back end.

It keeps key material inside, and gives out names: a token is the name of an object in it, nothing else. It can be told
to fail, to be slow and to lose its connection. It counts its calls. It refuses calls from where no call may come from,
and then fails the test.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, cast

import msgspec
import pytest

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.material import ImportedMaterial, MaterialBinding, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.entropy import Entropy
from strongroom.errors import KeyUnavailableException, UnsupportedOperationException
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

_PATIENCE = 60.0
REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2")


class TokenObject(msgspec.Struct, frozen=True):
    """An object in the token: key material, and the attributes that tell which key it belongs to."""

    material: bytes
    owner: MaterialBinding


class TokenBackend:
    """The simulator. Safe to use from several threads."""

    blocks = True
    blocks_when_loaded = True
    keeps_material = True

    def __init__(self, entropy: Entropy, writing: Callable[[], bool] = lambda: False) -> None:
        """Make an empty token. ``writing`` returns whether this thread has a write transaction open."""
        seal = RootKeySeal(RootKey(entropy(32)), entropy)
        keys = [create_domain_key(region, 1, seal, entropy) for region in REGIONS]
        self._chip = SoftwareKeyBackend(DomainKeys(keys, seal, entropy), entropy)
        self._entropy = entropy
        self._writing = writing
        self._lock = threading.Lock()
        self.objects: dict[bytes, TokenObject] = {}
        self.calls: Counter[str] = Counter()
        self.answers = threading.Event()
        self.answers.set()
        self.connected = True
        self.failing: set[str] = set()
        """The methods that fail."""
        self.refused: set[tuple[KeySpec, KeyUsage]] = set()
        """The specs and usages of keys that it does not keep."""
        self.misuses: list[str] = []
        """The calls that came from where none may come from."""

    def require_spec(self, spec: KeySpec, usage: KeyUsage, region: str) -> None:
        self._chip.require_spec(spec, usage, region)
        if (spec, usage) in self.refused:
            raise UnsupportedOperationException(f"the token has no keys of {spec} for {usage}")

    def token_for(self, owner: MaterialBinding) -> None:
        """Return None: it draws the names of its objects."""

    def generate(self, owner: MaterialBinding) -> bytes:
        self.called("generate")
        return self._keep(self._chip.generate(owner), owner)

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        self.called("load")
        found = self._object(token, owner)
        return cast("BackingKey", TokenKey(self, token, self._chip.load(found.material, owner)))

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        self.called("destroy")
        with self._lock:
            found = self.objects.get(token)
            if found is not None and found.owner == owner:
                del self.objects[token]

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        self.called("replicate")
        copy = self._chip.replicate(self._object(token, owner).material, owner, region)
        return self._keep(copy, msgspec.structs.replace(owner, region=region))

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Return the same token: it needs no domain key."""
        self.load(token, owner)
        return token

    def wrapping_key(self, spec: WrappingKeySpec, algorithm: WrappingAlgorithm, owner: MaterialOwner) -> WrappingKey:
        self.called("wrapping_key")
        return self._chip.wrapping_key(spec, algorithm, owner)

    def import_material(
        self, wrapped: WrappedMaterial, owner: MaterialOwner, known_ids: Collection[str] = ()
    ) -> ImportedMaterial:
        self.called("import_material")
        made = self._chip.import_material(wrapped, owner, known_ids)
        token = self._keep(made.token, owner.binding(made.material_id))
        return ImportedMaterial(made.material_id, token)

    def called(self, name: str) -> None:
        """Count a call, and let it fail if it is told to; fails the test if it may not come from here."""
        with self._lock:
            self.calls[name] += 1
        if self._writing():
            self._refuse(f"{name} was called while a write transaction was open")
        if _on_event_loop():
            self._refuse(f"{name} was called on the event loop's thread")
        # Cleared, it makes the token as slow as a test wants.
        assert self.answers.wait(_PATIENCE)
        if not self.connected or name in self.failing:
            raise KeyUnavailableException(f"the token does not answer: {name}")

    def has(self, token: bytes) -> bool:
        """Return whether an object is there."""
        return token in self.objects

    def _refuse(self, misuse: str) -> None:
        self.misuses.append(misuse)
        pytest.fail(misuse)

    def _object(self, token: bytes, owner: MaterialBinding) -> TokenObject:
        found = self.objects.get(token)
        if found is None or found.owner != owner:
            raise UnsealError("there is no such object for this key")
        return found

    def _keep(self, material: bytes, owner: MaterialBinding) -> bytes:
        name = b"object " + self._entropy(8).hex().encode()
        with self._lock:
            self.objects[name] = TokenObject(material, owner)
        return name


class TokenKey:
    """A key in the token: each use is a call of the token."""

    def __init__(self, token: TokenBackend, name: bytes, key: BackingKey) -> None:
        self._token = token
        self._name = name
        self._key = key

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return an operation of the key."""
        whole = getattr(self._key, operation)

        def use(*arguments: Any) -> Any:
            self._token.called(operation)
            if not self._token.has(self._name):
                raise KeyUnavailableException("the object is gone")
            return whole(*arguments)

        return use


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
