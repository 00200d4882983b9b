"""A SoftHSM token for the tests of a folder. The module reads where it is when it is initialized."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

import nss
from softhsm import LABEL, MODULE, PIN, FaultyModule, new_token
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenAddress:
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    return TokenAddress(MODULE, LABEL, PIN, start_lock=tmp_path / "lock")


@pytest.fixture
def nss_address(tmp_path: Path) -> TokenAddress:
    arguments = nss.new_database(tmp_path / "nss")
    return TokenAddress(nss.MODULE, nss.LABEL, nss.PIN, arguments, start_lock=tmp_path / "lock")


@pytest.fixture
def token(address: TokenAddress) -> Iterator[ModuleToken]:
    token = ModuleToken(address, time.monotonic)
    yield token
    token.close()


@pytest.fixture(params=["address", "nss_address"])
def any_token(request: pytest.FixtureRequest) -> Iterator[ModuleToken]:
    token = ModuleToken(request.getfixturevalue(request.param), time.monotonic)
    yield token
    token.close()


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyModule:
    module = FaultyModule(tmp_path)
    for name, value in module.environment.items():
        monkeypatch.setenv(name, value)
    return module


@pytest.fixture
def reports() -> list[str | None]:
    return []


@pytest.fixture
def faulty_token(address: TokenAddress, faulty: FaultyModule, reports: list[str | None]) -> Iterator[ModuleToken]:
    token = ModuleToken(replace(address, module=faulty.path, threads=4), time.monotonic, reports.append)
    yield token
    faulty.behave("")
    token.close()
