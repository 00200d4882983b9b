"""The key back end of full depth with SoftHSM or the soft token of NSS, counted and told to fail."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from msgspec.structs import replace

import nss
import softhsm
from local_deployment import entropy
from root_depth import REGIONS, CountedToken
from strongroom.crypto.domain_keys import DomainKeys, full_depth_domain_key
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.wrapping import ID_LENGTH, TokenWrapper, create_key_encryption_key
from strongroom.crypto.seal import Seal, SealedDomainKey
from strongroom.crypto.seals.root_key import temporary_seal
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.errors import KmsError

Module = Literal["softhsm", "nss"]


class FullDepth(msgspec.Struct):
    """A key back end, what it wraps with, and the token that uses its keys."""

    backend: HsmKeyBackend
    software: SoftwareKeyBackend
    """The key back end of keys in this process, with the same domain keys."""
    domain_keys: DomainKeys
    token: CountedToken
    module_token: ModuleToken
    seal: Seal
    records: list[SealedDomainKey]

    def add(self, region: str, version: int) -> bytes:
        """Add a domain key of full depth, and return the id of its key encryption key."""
        record, object_id = new_domain_key(self.token, region, version, self.seal)
        self.store(record)
        return object_id

    def store(self, *records: SealedDomainKey) -> None:
        """Add domain keys."""
        self.records += records
        self.domain_keys.update(self.records, self.seal)

    def drop(self, region: str, version: int) -> None:
        """Remove a domain key."""
        self.records = [each for each in self.records if (each.scope, each.version) != (region, version)]
        self.domain_keys.update(self.records, self.seal)

    def temporary_objects(self) -> int:
        """Return how many keys that end with a session there are, after those that are not needed were destroyed."""
        while True:
            self.module_token.check()
            if not self.module_token.discarded:
                break
        return len(self.token.run(lambda session: session.calls.find_objects(_TEMPORARY)))

    def wait_until_well(self) -> None:
        """Wait until the token answers again."""
        begun = time.monotonic()
        while time.monotonic() - begun < _SOON:
            try:
                self.module_token.check()
            except KmsError:
                time.sleep(0.01)
            else:
                return
        raise TimeoutError


_SOON = 30.0
_TEMPORARY = {c.CKA_TOKEN: False}


def new_domain_key(token: CountedToken, region: str, version: int, seal: Seal) -> tuple[SealedDomainKey, bytes]:
    """Make a domain key of full depth; return its record, and the id of its key encryption key."""
    object_id = entropy(ID_LENGTH)
    create_key_encryption_key(token, object_id, region, version)
    return full_depth_domain_key(region, version, object_id, seal, entropy), object_id


@contextmanager
def address_of(module: Module) -> Iterator[TokenAddress]:
    """Make a token; return where it is."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        if module == "nss":
            yield TokenAddress(nss.MODULE, nss.LABEL, nss.PIN, nss.new_database(folder / "nss"))
            return
        for variable, value in softhsm.new_token(folder).items():
            patch.setenv(variable, value)
        yield TokenAddress(softhsm.MODULE, softhsm.LABEL, softhsm.PIN)


@contextmanager
def full_depth(module: Module = "softhsm", *, handles: int | None = None, new: bool = True) -> Iterator[FullDepth]:
    """Make a token and a key back end that keeps its keys in it.

    The token keeps at most ``handles`` session objects. Unless ``new``, there are no domain keys yet.
    """
    with ExitStack() as stack:
        address = stack.enter_context(address_of(module))
        if handles is not None:
            address = replace(address, handles=handles)
        yield stack.enter_context(full_depth_at(address, new=new))


@contextmanager
def full_depth_at(address: TokenAddress, *, new: bool = True) -> Iterator[FullDepth]:
    """Make a key back end that keeps its keys in a token; the parameter is as above."""
    with closing(ModuleToken(address, time.monotonic)) as module_token:
        token, seal = CountedToken(module_token), temporary_seal(entropy)
        keys = DomainKeys([], seal, entropy, lambda opened: TokenWrapper(token, opened.key, opened.version, entropy))
        software = SoftwareKeyBackend(keys, entropy)
        depth = FullDepth(HsmKeyBackend(keys, token, entropy, software), software, keys, token, module_token, seal, [])
        for region in REGIONS if new else ():
            depth.add(region, 1)
        token.calls = 0
        yield depth
