"""The operations that each connection state of a custom key store allows, including states that none reaches yet.

Source: KMS API Reference, CustomKeyStoreInvalidStateException and UpdateCustomKeyStore.
"""

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from strongroom.errors import CustomKeyStoreInvalidStateException
from strongroom.keys.custom_key_stores import (
    ConnectionErrorCode,
    ConnectionState,
    CustomKeyStore,
    CustomKeyStoreType,
    connect,
    disconnect,
    require_changeable,
    require_connected,
)

STORE = CustomKeyStore(
    account="111122223333",
    region="us-east-1",
    store_id="cks-1234567890abcdef0",
    name="store",
    type=CustomKeyStoreType.AWS_CLOUDHSM,
    created_at=1_790_000_000.0,
    wrapped_secret=b"wrapped secret",
)
ALLOWED: dict[str, tuple[Callable[[CustomKeyStore], object], set[str]]] = {
    "connect": (partial(connect, error=None), {"CONNECTED", "CONNECTING", "DISCONNECTED"}),
    "disconnect": (disconnect, {"CONNECTED", "CONNECTING", "FAILED"}),
    "use": (require_connected, {"CONNECTED"}),
    "rename": (partial(require_changeable, while_connected=True), {"CONNECTED", "DISCONNECTED"}),
    "move": (partial(require_changeable, while_connected=False), {"DISCONNECTED"}),
}


@pytest.mark.parametrize("state", ConnectionState)
@pytest.mark.parametrize("name", ALLOWED)
def test_each_connection_state_allows_the_operations_that_aws_allows(name: str, state: ConnectionState) -> None:
    act, allowed = ALLOWED[name]
    store = replace(STORE, state=state)
    if state in allowed:
        act(store)
    else:
        with pytest.raises(CustomKeyStoreInvalidStateException, match=f"{STORE.store_id} is in state {state},"):
            act(store)


def test_an_error_is_shown_until_the_store_is_disconnected() -> None:
    failed = connect(STORE, ConnectionErrorCode.CLUSTER_NOT_FOUND)
    assert (failed.state, failed.error) == (ConnectionState.FAILED, ConnectionErrorCode.CLUSTER_NOT_FOUND)
    assert disconnect(failed) == STORE
    assert connect(STORE, None) == replace(STORE, state=ConnectionState.CONNECTED)


def test_the_repr_of_a_store_does_not_show_its_secret() -> None:
    assert "secret" not in repr(STORE)
