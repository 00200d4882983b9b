"""The last line of a start that fails says why and names the file or the setting, with one worker and with several."""

import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from started_servers import failed_start
from strongroom.clock import ManualClock
from strongroom.crypto.seals.file import create_root_key
from strongroom.entropy import system_entropy
from tls_files import Pair, run_openssl, self_signed

Mistake = Callable[[Path, Pair], tuple[tuple[str, ...], str]]
"""Makes a mistake in a data folder, or with a certificate; returns the options, and what the last line must have."""


def file_in_the_way(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    shutil.rmtree(data)
    data.write_text("")
    return (), f"`{data}` is not a folder; name another one with --data"


def folder_open_to_others(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    data.chmod(0o777)
    return (), f"`{data}` can be written by others; run: chmod go-w {data}"


def no_root_key(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "root.key").unlink()
    return (), f"`{data / 'root.key'}` is missing; without it no key can be used. Restore it."


def root_key_elsewhere(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "root.key").unlink()
    (data / "root.key").symlink_to("/absent/root.key")
    return (), f"`{data / 'root.key'}` is a symbolic link to `/absent/root.key`, which is missing"


def root_key_elsewhere_at_the_first_start(data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    shutil.rmtree(data)
    data.mkdir(0o700)
    (data / "root.key").touch()
    return root_key_elsewhere(data, pair)


def another_root_key(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "root.key").unlink()
    create_root_key(data / "root.key", system_entropy)
    return (), f"`{data / 'root.key'}` is not the root key of `{data / 'strongroom.db'}`"


def damaged_root_key(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "root.key").write_text("{")
    return (), f"`{data / 'root.key'}` is not a root key file; restore it from a backup"


def root_key_for_all(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "root.key").chmod(0o644)
    return (), f"`{data / 'root.key'}` can be read by others; run: chmod 600 {data / 'root.key'}"


def no_database(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "strongroom.db").unlink()
    return (), f"`{data / 'strongroom.db'}` is missing"


def zeros_in_the_database(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "strongroom.db").write_bytes(bytes(8192))
    return (), "strongroom.db"


def folder_for_the_database(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "strongroom.db").unlink()
    (data / "strongroom.db").mkdir()
    return (), "strongroom.db"


def damaged_node_id(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    (data / "node-id").write_text("nobody\n")
    return (), str(data / "node-id")


def file_for_the_audit_log(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    shutil.rmtree(data / "audit")
    (data / "audit").write_text("")
    return (), str(data / "audit")


def no_certificate(_data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--tls-cert", "absent.pem", "--tls-key", str(pair.key)), "the TLS certificate `absent.pem` cannot be read"


def no_key(_data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--tls-cert", str(pair.certificate), "--tls-key", "absent.key"), "the TLS key `absent.key` cannot be read"


def certificate_alone(_data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--tls-cert", str(pair.certificate)), "TLS needs both a certificate and a key: --tls-cert and --tls-key"


def key_of_another_certificate(data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    other = self_signed(data.parent / "other", "other")
    return ("--tls-cert", str(pair.certificate), "--tls-key", str(other.key)), f"the key `{other.key}` does not belong"


def encrypted_key(data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    key = data.parent / "encrypted.key"
    run_openssl("pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:secret", "-out", str(key))
    return ("--tls-cert", str(pair.certificate), "--tls-key", str(key)), f"the TLS key `{key}` is encrypted; decrypt it"


def certificate_too_weak(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    weak = self_signed(data.parent / "weak", "weak", kind=("rsa:512",))
    return weak.options, f"the TLS certificate `{weak.certificate}` with the key `{weak.key}` cannot be used"


def authorities_that_are_none(_data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    return (*pair.options, "--tls-client-ca", str(pair.key)), f"the file of authorities `{pair.key}` is not PEM"


def authorities_without_tls(_data: Path, pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--tls-client-ca", str(pair.certificate)), "`tls-client-ca` needs TLS; give --tls-cert and --tls-key too"


def settings_that_are_absent(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    config = data.parent / "absent.toml"
    return ("--config", str(config)), f"`{config}` cannot be used: No such file or directory"


def _written(data: Path, text: str) -> tuple[str, ...]:
    (data.parent / "mine.toml").write_text(text)
    return "--config", str(data.parent / "mine.toml")


def settings_that_are_not_toml(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return _written(data, "listen = "), f"`{data.parent / 'mine.toml'}` is not valid TOML"


def setting_that_is_unknown(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return _written(data, "lisen = 1"), "`lisen`"


def suite_that_is_unknown(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return _written(data, 'tls-ciphers = ["AES128-SHA"]'), "`AES128-SHA` in tls-ciphers is not one of the suites"


def suites_below_the_floor(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    text = 'tls-min-version = "1.3"\ntls-ciphers = ["ECDHE-RSA-AES128-GCM-SHA256"]'
    return _written(data, text), "`tls-ciphers` is about TLS 1.2, which `tls-min-version` forbids"


def absent_roots(data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return _written(data, 'attestation-roots = ["absent.pem"]'), "absent.pem"


def open_without_tls(_data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--listen", "0.0.0.0:0"), "`0.0.0.0:0` can be reached by others"


def host_that_is_unknown(_data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--listen", "host.invalid:0", "--allow-plaintext"), "cannot listen on host.invalid:0: "


def address_of_another(_data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return ("--listen", "192.0.2.1:0", "--allow-plaintext"), "cannot listen on 192.0.2.1:0: Cannot assign"


def another_account(_data: Path, _pair: Pair) -> tuple[tuple[str, ...], str]:
    return (
        "--account",
        "111122223333",
    ), "belongs to account 000000000000; to add 111122223333, run: strongroom account"


MISTAKES: tuple[Mistake, ...] = (
    *(file_in_the_way, folder_open_to_others),
    *(no_root_key, root_key_elsewhere, root_key_elsewhere_at_the_first_start, another_root_key),
    *(damaged_root_key, root_key_for_all),
    *(no_database, zeros_in_the_database, folder_for_the_database, damaged_node_id, file_for_the_audit_log),
    *(no_certificate, no_key, certificate_alone, key_of_another_certificate, encrypted_key, certificate_too_weak),
    *(authorities_that_are_none, authorities_without_tls),
    *(settings_that_are_absent, settings_that_are_not_toml, setting_that_is_unknown),
    *(suite_that_is_unknown, suites_below_the_floor, absent_roots),
    *(open_without_tls, host_that_is_unknown, address_of_another, another_account),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a server made."""
    data = tmp_path_factory.mktemp("starts") / "data"
    LocalDeployment(data, ManualClock(1_790_000_000.0)).deployment.close()
    return data


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("tls"), "good")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_the_last_line_names_it(good: Path, pair: Pair, tmp_path: Path, mistake: Mistake, workers: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(good, data)
    options, said = mistake(data, pair)
    require_one_line(data, (*options, "--workers", workers), said)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("option", ["--listen", "--metrics-listen"])
def test_a_port_in_use(tmp_path: Path, option: str, workers: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        said = f"cannot listen on {address}: Address already in use"
        require_one_line(tmp_path / "data", (option, address, "--workers", workers), said)


def require_one_line(data: Path, options: tuple[str, ...], said: str) -> None:
    """Start a server that must fail, with one line that has a text and neither a traceback nor a link."""
    ended = failed_start(data, *options)
    assert ended.code == 1
    assert said in ended.last_line
    assert ended.last_line.startswith("Error: ")
    assert "Traceback" not in ended.errors
    assert "http" not in ended.errors
    assert len(ended.errors.splitlines()) == 1
