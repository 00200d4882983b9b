"""The software key back end with domain keys in a token: SoftHSM, counted and told to fail."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from local_deployment import entropy
from softhsm import LABEL, MODULE, PIN, new_token
from strongroom.crypto.domain_keys import DomainKeys, token_domain_key
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.pkcs11.token import PATIENCE, ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.wrapping import ID_LENGTH, TokenWrapper, create_wrapping_key
from strongroom.crypto.seals.root_key import temporary_seal
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.token_errors import TokenUnavailableError

T = TypeVar("T")
REGIONS = ("us-east-1", "eu-west-1")


class CountedToken:
    """A token that counts the work it is given, and can be told not to answer."""

    def __init__(self, token: ModuleToken) -> None:
        self._token = token
        self.calls = 0
        self.answers = True

    @property
    def generation(self) -> int:
        return self._token.generation

    def run(self, work: Callable[[TokenSession], T], *, patience: float = PATIENCE) -> T:
        self.calls += 1
        if not self.answers:
            raise TokenUnavailableError("told not to answer")
        return self._token.run(work, patience=patience)

    def search(
        self, work: Callable[[TokenSession], T], is_whole: Callable[[T], bool], *, patience: float = PATIENCE
    ) -> T:
        self.calls += 1
        if not self.answers:
            raise TokenUnavailableError("told not to answer")
        return self._token.search(work, is_whole, patience=patience)

    def discard(self, name: bytes) -> None:
        self._token.discard(name)


class RootDepth(msgspec.Struct):
    """A key back end, and the token that has its domain keys."""

    backend: SoftwareKeyBackend
    token: CountedToken


@contextmanager
def root_depth() -> Iterator[RootDepth]:
    """Make a token with a domain key for each Region, and a key back end that wraps with them."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.copy()
        os.environ.update(new_token(Path(folder)))
        try:
            with root_depth_at(TokenAddress(MODULE, LABEL, PIN)) as depth:
                yield depth
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def root_depth_at(address: TokenAddress) -> Iterator[RootDepth]:
    """Make a domain key for each Region in a token, and a key back end that wraps with them."""
    with closing(ModuleToken(address, time.monotonic)) as module_token:
        token, seal, records = CountedToken(module_token), temporary_seal(entropy), []
        for region in REGIONS:
            object_id = entropy(ID_LENGTH)
            create_wrapping_key(token, object_id, region, 1)
            records.append(token_domain_key(region, 1, object_id, seal))
        keys = DomainKeys(
            records, seal, entropy, lambda opened: TokenWrapper(token, opened.key, opened.version, entropy)
        )
        token.calls = 0
        yield RootDepth(SoftwareKeyBackend(keys, entropy), token)
