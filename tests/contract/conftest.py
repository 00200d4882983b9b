"""Key back ends that share one contract: the simulator of hardware, and tokens in root and full depth, a proxy."""

from collections.abc import Iterator

import pytest

from full_depth import full_depth
from local_deployment import entropy
from root_depth import root_depth
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from token_backend import TokenBackend
from xks_scene import NamedExternally, XksScene
from xks_stub import XksStub


@pytest.fixture(scope="module")
def token_backend() -> Iterator[TokenBackend]:
    token = TokenBackend(entropy)
    yield token
    assert token.misuses == []


@pytest.fixture(scope="module")
def root_depth_backend() -> Iterator[SoftwareKeyBackend]:
    with root_depth() as depth:
        yield depth.backend


@pytest.fixture(scope="module")
def softhsm_full_depth() -> Iterator[HsmKeyBackend]:
    with full_depth("softhsm") as depth:
        yield depth.backend


@pytest.fixture(scope="module")
def nss_full_depth() -> Iterator[HsmKeyBackend]:
    with full_depth("nss") as depth:
        yield depth.backend


@pytest.fixture(scope="module")
def external_backend(
    xks_stub: XksStub, key_backend: SoftwareKeyBackend, service_secrets: ServiceSecrets
) -> Iterator[KeyBackend]:
    scene = XksScene(xks_stub, key_backend, service_secrets)
    yield NamedExternally(scene)
    scene.proxies.close()
