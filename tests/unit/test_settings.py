"""Settings: precedence of their sources, and which values are refused."""

import msgspec
import pytest

from strongroom.settings import Settings, SettingsError
from strongroom.settings_sources import changed, load, reloaded, unknown_variables
from strongroom.store.leases.bounds import LONGEST_POLL


def test_the_command_line_overrides_the_environment_which_overrides_the_file() -> None:
    document = 'listen = "127.0.0.1:1"\naccount = "111122223333"\nregions = ["eu-west-1"]\nclock-skew = 60\n'
    environment = {"STRONGROOM_LISTEN": "127.0.0.1:2", "STRONGROOM_REGIONS": "us-east-1,us-west-2", "HOME": "/"}
    environment["STRONGROOM_ATTESTATION_ROOTS"] = "one.pem,two.pem"
    environment["STRONGROOM_CORS_ORIGINS"] = "https://app.example.com,http://localhost:8080"
    settings = load(document, environment, {"listen": "127.0.0.1:3", "regions": None})
    assert settings.listen == "127.0.0.1:3"
    assert settings.regions == ("us-east-1", "us-west-2")
    assert settings.account == "111122223333"
    assert settings.attestation_roots == ("one.pem", "two.pem")
    assert settings.cors_origins == ("https://app.example.com", "http://localhost:8080")
    assert settings.clock_skew == 60.0
    assert load("", {}, {}) == Settings()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u@db1,db2:5433/d?target_session_attrs=read-write",
        "postgres://h",
        "host=db1 dbname=d",
        " dbname = d",
        "",
    ],
)
def test_addresses_of_libpq_are_stores(address: str) -> None:
    assert load("", {"STRONGROOM_STORE": address}, {}).is_on_postgresql == bool(address)


def test_a_refused_address_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        load("", {"STRONGROOM_STORE": "mysql://u:secret@h/d"}, {})
    assert str(refused.value).startswith("STRONGROOM_STORE is not valid")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (
            'listen = "somewhere"',
            "`listen` in `strongroom.toml`, line 1, is not valid: it must be HOST:PORT, not `somewhere`",
        ),
        ('metrics-listen = "9599"', "must be HOST:PORT, not `9599`; a port of this machine alone is `127.0.0.1:9599`"),
        ('listen = "::1:4599"', "must be HOST:PORT, not `::1:4599`; an IPv6 address is in brackets, as in "),
        ('listen = "127.0.0.1:65536"', "must be HOST:PORT, not `127.0.0.1:65536`; a port is at most 65535"),
        ('listen = "127.0.0.1:port"', "HOST:PORT"),
        ('listen = "0.0.0.0:4599"', "can be reached by others"),
        ('listen = "[::]:4599"', "can be reached by others"),
        ('listen = "kms.example.com:4599"', "can be reached by others"),
        ('tls-cert = "cert.pem"', "both a certificate and a key"),
        ('account = "12"', "account"),
        ('regions = ["nowhere"]', "regions"),
        ("regions = []", "regions"),
        ('durability = "hope"', "durability"),
        ("[[request-quotas]]\nrequests = 'rsa'\nper-second = 0", "per-second"),
        ("[[request-quotas]]\nrequests = 'rsa'", "per-second"),
        ('cors-origins = ["https://app.example.com/"]', "is not an origin as browsers send it"),
        ('cors-origins = ["https://App.example.com"]', "is not an origin as browsers send it"),
        ('cors-origins = ["app.example.com"]', "is not an origin as browsers send it"),
        ('cors-origins = ["null"]', "is not an origin as browsers send it"),
        ('cors-origins = ["https://*.example.com"]', "is not an origin as browsers send it"),
        ('cors-origins = ["https://app.example.com:443"]', "is not an origin as browsers send it"),
        ('cors-origins = ["http://localhost:80"]', "is not an origin as browsers send it"),
        ('cors-origins = ["https://u@h"]', "is not an origin as browsers send it"),
        ('cors-origins = [""]', "is not an origin as browsers send it"),
        ('cors-origins = ["https://h:x"]', "is not an origin as browsers send it"),
        ("lisen = 1", "lisen"),
        ('key-protection = "pkcs11"', "it must be one of software, pkcs11-root, pkcs11-full, not `pkcs11`"),
        ('key-protection = "pkcs11-full"', "`key-protection` is pkcs11-full, which needs `pkcs11-module` too"),
        ("pkcs11-wrap-mechanism = 0x8000216F", "`pkcs11-wrap-mechanism` is .* needs `pkcs11-module` too"),
        ('pkcs11-module = "/m"\npkcs11-token = "t"\npkcs11-wrap-mechanism = 0x100000000', "`pkcs11-wrap-mechanism` in"),
        ('store = "mysql://u:secret@h/d"', "`store` in .*, line 1, is not valid: it must be the address of a"),
        ('store-password-file = "p"', "`store-password-file` in .* needs `store`"),
        ("lease = 1.9", "`lease` in .* it must be a number from 2 to 60, not `1.9`"),
        ("store-connections = 3", "`store-connections` in"),
        ("= 1", "Invalid"),
    ],
)
def test_invalid_settings_are_refused(document: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(document, {}, {})


@pytest.mark.parametrize(
    "document",
    [
        'listen = "[::1]:4599"',
        'listen = "localhost:0"',
        'listen = "127.8.8.8:1"',
        'listen = "0.0.0.0:1"\nallow-plaintext = true',
        'listen = "0.0.0.0:1"\ntls-cert = "c"\ntls-key = "k"',
    ],
)
def test_valid_listen_addresses_are_accepted(document: str) -> None:
    assert load(document, {}, {}).address[1] in {0, 1, 4599}


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "https://app.example.com", "http://localhost:8080", "https://127.0.0.1:80", "http://[::1]:3000"),
        *("chrome-extension://abcdefghijklmnop", "http://host_name:443"),
    ],
)
def test_origins_as_browsers_send_them_are_accepted(origin: str) -> None:
    assert load(f'cors-origins = ["{origin}"]', {}, {}).cors_origins == (origin,)


def test_only_suites_with_forward_secrecy_and_an_aead_can_be_set() -> None:
    settings = load("", {"STRONGROOM_TLS_CIPHERS": "ECDHE-RSA-AES128-GCM-SHA256,ECDHE-RSA-CHACHA20-POLY1305"}, {})
    assert settings.tls_ciphers == ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305")
    for suite in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ALL", "ECDHE-RSA-AES128-GCM-SHA256,"):
        with pytest.raises(SettingsError, match="in tls-ciphers is not one of the suites"):
            load("", {"STRONGROOM_TLS_CIPHERS": suite}, {})


def test_a_running_server_takes_on_some_settings() -> None:
    running = load("", {}, {"listen": "127.0.0.1:4600"})
    read = load('log-level = "debug"\ndrain = 5\nregions = ["eu-west-1"]', {}, {})
    after = reloaded(running, read)
    assert changed(running, after) == {"log_level", "drain"}
    assert changed(after, read) == {"listen", "regions"}


def test_a_running_server_neither_begins_nor_ends_tls() -> None:
    plain = load("", {}, {})
    secure = load("", {}, {"tls_cert": "a.pem", "tls_key": "a.key", "log_level": "debug"})
    assert changed(plain, reloaded(plain, secure)) == {"log_level"}
    assert changed(secure, reloaded(secure, plain)) == {"log_level"}
    renamed = load("", {}, {"tls_cert": "b.pem", "tls_key": "b.key", "log_level": "debug"})
    assert reloaded(secure, renamed) == renamed


NUMBERS = sorted(
    field.encode_name
    for field in msgspec.structs.fields(Settings)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
)


@pytest.mark.parametrize("value", ["inf", "1e300", "nan", str(10**18)])
@pytest.mark.parametrize("setting", NUMBERS)
def test_every_number_has_a_bound(setting: str, value: str) -> None:
    """What waits for an infinite time raises OverflowError, and JSON has no infinity to tell a worker."""
    says = f"`{setting}` in `strongroom.toml`, line 1, is not valid: it must be a .*number .*, not `"
    with pytest.raises(SettingsError, match=says):
        load(f"{setting} = {value}", {}, {})


def test_there_are_numbers() -> None:
    assert {"drain", "keeper-interval", "managed-rotation-days", "held-bytes"} <= set(NUMBERS)


def test_a_quota_has_a_bound() -> None:
    with pytest.raises(SettingsError, match="request-quotas"):
        load('[[request-quotas]]\nrequests = "rsa"\nper-second = inf', {}, {})


def test_names_of_files_are_utf_8() -> None:
    """As a process gets other bytes of its command line and its environment."""
    name = b"data-\xff".decode(errors="surrogateescape")
    with pytest.raises(SettingsError, match="--data is not valid: it is not UTF-8"):
        load("", {}, {"data": name})
    with pytest.raises(SettingsError, match="STRONGROOM_ATTESTATION_ROOTS is not valid: it is not UTF-8"):
        load("", {"STRONGROOM_ATTESTATION_ROOTS": f"a.pem,{name}"}, {})


def test_variables_that_are_no_settings_are_told_with_what_may_be_meant() -> None:
    given = {
        "STRONGROOM_FIP": "1",
        "STRONGROOM_Q": "1",
        "STRONGROOM_DATA": "data",
        "STRONGROOM_CONFIG": "a",
        "STRONG": "1",
        "PATH": "/bin",
    }
    assert unknown_variables(given) == {"STRONGROOM_FIP": "STRONGROOM_FIPS", "STRONGROOM_Q": ""}


def test_a_node_polls_as_often_as_reads_rely_on() -> None:
    assert load(f"store-poll = {LONGEST_POLL}", {}, {}).store_poll == LONGEST_POLL
    with pytest.raises(SettingsError, match="store-poll"):
        load(f"store-poll = {LONGEST_POLL + 0.1}", {}, {})
