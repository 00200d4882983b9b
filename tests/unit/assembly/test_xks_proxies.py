"""XKS proxies in a data folder: backups have them, restores serve them, and damaged rows harm nothing else."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from botocore.credentials import Credentials

from backup_scene import back_up, reopened, restore, verify
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.xks_lock import lock_xks_serving
from strongroom.assembly.xks_serving import listener_settings
from strongroom.clock import ManualClock
from strongroom.settings import Settings, SettingsError
from strongroom.settings_sources import load
from strongroom.xks_proxy.registry import MOST_CREDENTIALS, Usage
from xks_calls import PREFIX, decrypt_body, encrypt_body, metadata, policy
from xks_local import LocalXksProxy


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    with closing(local.deployment):
        yield local


@pytest.fixture
def proxy(local: LocalDeployment) -> Iterator[LocalXksProxy]:
    with closing(LocalXksProxy(local)) as proxy:
        yield proxy


@pytest.fixture
def credentials(proxy: LocalXksProxy) -> Credentials:
    made = proxy.make()
    proxy.admin.add_key(PREFIX, "foo", proxy.new_key(), tuple(Usage))
    return made


def test_a_restored_proxy_opens_what_it_has_encrypted(
    local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials, tmp_path: Path
) -> None:
    encrypted = proxy.call("keys/foo/encrypt", encrypt_body(b"text"), credentials)
    backup = back_up(local, tmp_path)
    found = verify(backup.path, root_key=local.folder / "root.key")
    assert found.content is not None
    # The key, the root access key and the credential of the proxy.
    assert (found.content.opened, found.content.damaged_count) == (3, 0)
    restore(local, backup, tmp_path / "restored")
    again = reopened(local, tmp_path / "restored")
    with closing(again.deployment), closing(LocalXksProxy(again)) as restored:
        assert restored.admin.proxies() == proxy.admin.proxies()
        assert restored.call("keys/foo/decrypt", decrypt_body(encrypted), credentials).plaintext == b"text"


def test_a_damaged_credential_in_a_backup_is_found(
    local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials, tmp_path: Path
) -> None:
    assert proxy.admin.proxies()
    change(local, "UPDATE xks_proxy_credential SET wrapped_secret = zeroblob(60)")
    found = verify(back_up(local, tmp_path).path, root_key=local.folder / "root.key")
    assert found.content is not None
    assert found.content.damaged == [f"credential {credentials.access_key} of an XKS proxy"]


def change(local: LocalDeployment, statement: str) -> None:
    with closing(sqlite3.connect(local.folder / "strongroom.db")) as connection, connection:
        connection.execute(statement)
        connection.execute(
            "INSERT INTO change (kind, account, region, name) VALUES ('xks-proxy', '', '', ?)", (PREFIX,)
        )


def test_an_altered_proxy_is_refused(local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials) -> None:
    other = proxy.make("other")
    change(local, f"UPDATE xks_proxy SET account = '444455556666' WHERE prefix = '{PREFIX}'")  # noqa: S608
    assert proxy.call("health", metadata("x"), credentials).error == (400, "InvalidStateException")
    assert proxy.call("health", metadata("x"), other, prefix="other").status == 200


def test_an_altered_key_is_refused(local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials) -> None:
    another = local.call("CreateKey", Policy=policy())["KeyMetadata"]["KeyId"]
    change(local, f"UPDATE xks_proxy_key SET key_id = '{another}'")  # noqa: S608
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).error == (400, "InvalidStateException")
    assert proxy.call("health", metadata("x"), credentials).status == 200


def test_a_credential_cannot_be_moved_to_another_proxy(
    local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials
) -> None:
    other = proxy.make("other")
    proxy.admin.add_key("other", "foo", proxy.new_key(), tuple(Usage))
    change(local, f"UPDATE xks_proxy_credential SET prefix = '{PREFIX}'")  # noqa: S608
    assert proxy.call("keys/foo/encrypt", encrypt_body(), other).error == (401, "AuthenticationFailedException")
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).status == 200


def test_the_number_of_credentials_is_bounded(proxy: LocalXksProxy, credentials: Credentials) -> None:
    for _ in range(MOST_CREDENTIALS - 1):
        proxy.admin.add_credential(PREFIX)
    with pytest.raises(DataFolderError, match="remove one"):
        proxy.admin.add_credential(PREFIX)
    assert proxy.call("health", metadata("x"), credentials).status == 200


def test_which_keys_can_be_given_out(local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials) -> None:
    assert credentials.access_key
    local.call("CreateAlias", AliasName="alias/x", TargetKeyId=proxy.new_key())
    key = proxy.admin.add_key(PREFIX, "by-alias", "alias/x", tuple(Usage))
    assert proxy.admin.refused_actions(key) == []
    assert proxy.admin.add_key(PREFIX, "by-arn", key.arn, ()).arn == key.arn
    closed = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    refused = proxy.admin.refused_actions(proxy.admin.add_key(PREFIX, "closed", closed, tuple(Usage)))
    assert refused == ["kms:DescribeKey", "kms:Encrypt", "kms:Decrypt"]
    for unfit in (key.arn.replace("us-east-1", "eu-west-1"), key.arn.replace("000000000000", "444455556666")):
        with pytest.raises(DataFolderError):
            proxy.admin.add_key(PREFIX, "unfit", unfit, tuple(Usage))


def test_only_one_process_serves_proxies(local: LocalDeployment) -> None:
    descriptor = lock_xks_serving(DataFolder(local.folder))
    with pytest.raises(DataFolderError, match="stop it first"):
        lock_xks_serving(DataFolder(local.folder))
    os.close(descriptor)
    os.close(lock_xks_serving(DataFolder(local.folder)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(xks_listen="0.0.0.0:443"), "xks-listen"),
        # What is allowed to the server is not allowed to the proxy.
        (Settings(xks_listen="0.0.0.0:443", allow_plaintext=True), "xks-allow-plaintext"),
        (Settings(xks_listen="nonsense"), "HOST:PORT"),
        (Settings(xks_tls_key="x"), "xks-tls-key"),
        (Settings(xks_tls_client_ca="x"), "needs TLS"),
        (Settings(xks_client_names=("x",)), "xks-tls-client-ca"),
    ],
)
def test_settings_that_cannot_be_served_with(settings: Settings, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        listener_settings(settings)


def test_plaintext_is_allowed_to_the_proxy_by_a_setting_of_its_own() -> None:
    found = listener_settings(Settings(xks_listen="192.0.2.1:443", xks_allow_plaintext=True))
    assert (found.listen, found.scheme) == ("192.0.2.1:443", "http")
    # The server still has none.
    with pytest.raises(SettingsError, match="can be reached by others"):
        load('listen = "192.0.2.1:443"\nxks-allow-plaintext = true', {}, {})


def test_the_suites_are_those_that_kms_offers() -> None:
    found = listener_settings(Settings(tls_ciphers=("ECDHE-RSA-AES128-GCM-SHA256",)))
    assert found.tls_ciphers == ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384")
    assert listener_settings(Settings(tls_min_version="1.3")).tls_ciphers == ()


def test_a_running_proxy_goes_on_while_domain_keys_are_rotated_and_destroyed(
    local: LocalDeployment, proxy: LocalXksProxy, credentials: Credentials, clock: ManualClock
) -> None:
    encrypted = proxy.call("keys/foo/encrypt", encrypt_body(b"text"), credentials)
    assert health_of(proxy, credentials) == "ACTIVE"
    with closing(open_existing(local.settings, clock, entropy)) as opened:
        opened.domain_keys.begin(())
        for each in opened.domain_keys.status():
            assert opened.domain_keys.rewrap(each.scope) == ()
        assert not any(each.remaining for each in opened.domain_keys.status())
        assert opened.domain_keys.destroy_old(())
    clock.advance(60)
    assert proxy.call("keys/foo/decrypt", decrypt_body(encrypted), credentials).plaintext == b"text"
    assert health_of(proxy, credentials) == "ACTIVE"
    proxy.admin.add_credential(PREFIX)
    with proxy.backends.store.read() as reader:
        assert list(reader.findings(lambda _key, _material: True)) == []
        assert len(reader.all_xks_credentials()) == 2


def health_of(proxy: LocalXksProxy, credentials: Credentials) -> str:
    (manager,) = proxy.call("health", metadata("x"), credentials).body["ekmFleetDetails"]
    return str(manager["healthStatus"])
