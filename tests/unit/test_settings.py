"""Settings: precedence of their sources, and which values are refused."""

import pytest

from strongroom.settings import Settings, SettingsError, load


def test_the_command_line_overrides_the_environment_which_overrides_the_file() -> None:
    document = 'listen = "127.0.0.1:1"\naccount = "111122223333"\nregions = ["eu-west-1"]\nclock-skew = 60\n'
    environment = {"STRONGROOM_LISTEN": "127.0.0.1:2", "STRONGROOM_REGIONS": "us-east-1,us-west-2", "HOME": "/"}
    environment["STRONGROOM_ATTESTATION_ROOTS"] = "one.pem,two.pem"
    settings = load(document, environment, {"listen": "127.0.0.1:3", "regions": None})
    assert settings.listen == "127.0.0.1:3"
    assert settings.regions == ("us-east-1", "us-west-2")
    assert settings.account == "111122223333"
    assert settings.attestation_roots == ("one.pem", "two.pem")
    assert settings.clock_skew == 60.0
    assert load("", {}, {}) == Settings()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('listen = "somewhere"', "`listen` must be HOST:PORT, not `somewhere`"),
        ('metrics-listen = "9599"', "`metrics-listen` must be HOST:PORT, not `9599`"),
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
        ("lisen = 1", "lisen"),
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
