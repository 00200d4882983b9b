"""``strongroom config``: where each setting comes from, and all that is wrong."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from strongroom.cli.main import main

MISTAKEN = """\
lisen = "127.0.0.1:1"
log-level = "loud"
lease = 99
tls-cert = "cert.pem"
store-password-file = "password"
store = "postgresql://role:secret@db/d"
seal-passphrase-file = "passphrase"
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("STRONGROOM_")]:
        monkeypatch.delenv(name)


def config(*arguments: str, variables: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["config", *arguments], env=variables)


def shown(*arguments: str, variables: dict[str, str] | None = None) -> Any:
    done = config("show", "--json", *arguments, variables=variables)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_the_defaults_can_be_used() -> None:
    done = config("check")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("The settings can be used. 0 of ")
    assert json.loads(config("check", "--json").stdout) == {"mistakes": [], "notes": []}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    Path("strongroom.toml").write_text(MISTAKEN)
    variables = {"STRONGROOM_WORKERS": "many", "STRONGROOM_DRAIN": "", "STRONGROOM_RETION": "x"}
    done = config("check", "--listen", "here", variables=variables)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [*["wrong"] * 8, *["note"] * 2, "The settings cannot be used"]
    for words in (
        "`lisen` in `strongroom.toml`, line 1, is no setting; did you mean `listen`?",
        "`log-level` in `strongroom.toml`, line 2, is not valid: it must be one of debug, info, warning, error, not ",
        "`lease` in `strongroom.toml`, line 3, is not valid: it must be a number from 2 to 60, not `99`",
        "STRONGROOM_WORKERS is not valid: it must be a whole number from 0 to 60, not `many`",
        "--listen is not valid: it must be HOST:PORT, not `here`",
        "TLS needs both a certificate and a key",
        f"`{Path.cwd()}/password` in `store-password-file` does not exist",
        f"`{Path.cwd()}/passphrase` in `seal-passphrase-file` does not exist",
        "the variable STRONGROOM_DRAIN is empty, and has no effect",
        "'STRONGROOM_RETION' is no setting, and has no effect; the most similar setting is STRONGROOM_REGION",
    ):
        assert any(words in line for line in lines), words
    assert lines[-1] == "The settings cannot be used: 8 mistakes."
    assert "secret" not in done.output
    found = json.loads(config("check", "--json", variables=variables).stdout)
    assert [each["setting"] for each in found["mistakes"]][:4] == [None, "log-level", "lease", "workers"]


def test_the_files_that_settings_name_are_looked_at() -> None:
    Path("strongroom.toml").write_text('tls-cert = "c.pem"\ntls-key = "k.pem"\nattestation-roots = ["r.pem"]\n')
    done = config("check")
    assert done.exit_code == 1
    assert "c.pem" in done.stdout
    assert "r.pem" in done.stdout


FILES = """\
xks-tls-cert = "xks-cert.pem"
xks-tls-key = "xks-key.pem"
[[cloudhsm-clusters]]
id = "cluster-2222222aaaa"
module = "/usr/lib/module.so"
token = "token"
trust-anchor = "anchor.pem"
[[events]]
to = "https://hooks.example.com/secret"
secret-file = "webhook"
[[identity-providers]]
issuer = "https://one.example.com"
jwks = "one.json"
[[identity-provider-keys]]
issuer = "https://two.example.com"
jwks = "two.json"
"""


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("xks-tls-cert", "xks-cert.pem"),
        ("cloudhsm-clusters", "anchor.pem"),
        ("events", "webhook"),
        ("identity-providers", "one.json"),
        ("identity-provider-keys", "two.json"),
    ],
)
def test_the_files_of_tables_are_looked_at(setting: str, file: str) -> None:
    Path("strongroom.toml").write_text(FILES)
    found = {each["setting"]: each["text"] for each in json.loads(config("check", "--json").stdout)["mistakes"]}
    assert file in found[setting]


ISSUER = '[[identity-providers]]\nissuer = "https://one.example.com"\njwks = "one.json"\n'


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys": []}', b"\xff"])
def test_a_file_without_keys_of_an_issuer_is_told(content: bytes) -> None:
    Path("strongroom.toml").write_text(ISSUER)
    Path("one.json").write_bytes(content)
    (found,) = json.loads(config("check", "--json").stdout)["mistakes"]
    assert found["setting"] == "identity-providers"
    named = f"`{Path.cwd()}/one.json`, the jwks of `https://one.example.com` in identity-providers,"
    assert found["text"].startswith(f"{named} has no keys that can be used: they are not a JWK Set")


def test_a_file_of_roots_that_is_missing_is_told_as_missing() -> None:
    Path("strongroom.toml").write_text('attestation-roots = ["roots.pem"]\n')
    (found,) = json.loads(config("check", "--json").stdout)["mistakes"]
    assert found["text"] == f"`{Path.cwd()}/roots.pem` in attestation-roots cannot be read: No such file or directory"


def test_a_kind_of_request_that_there_is_not_is_found_before_the_start() -> None:
    Path("strongroom.toml").write_text("[[request-quotas]]\nrequests = 'symetric'\nper-second = 1\n")
    done = config("check")
    assert done.exit_code == 1
    assert "`symetric` in request-quotas is no kind of request; did you mean `symmetric`?" in done.stdout


def test_an_address_that_is_none_is_one_mistake() -> None:
    Path("strongroom.toml").write_text('[[events]]\nto = "http://hooks.example.com/secret"\n')
    assert [each["setting"] for each in json.loads(config("check", "--json").stdout)["mistakes"]] == ["events"]


def test_a_file_that_cannot_be_read_is_no_answer() -> None:
    done = config("check", "--config", "none.toml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: `none.toml` cannot be used: No such file or directory\n"


def test_a_file_that_is_no_toml_is_a_mistake_beside_others() -> None:
    Path("strongroom.toml").write_text("listen = \n")
    done = config("check", "--region", "x")
    assert done.exit_code == 1
    assert "wrong: `strongroom.toml` is not valid TOML" in done.stdout
    assert "wrong: --region is not valid" in done.stdout


def test_each_setting_is_shown_with_its_source() -> None:
    Path("strongroom.toml").write_text('\nregion = "eu-west-1"\nstore = "postgresql://role:secret@db/d"\n')
    found = shown("--changed", "--workers", "2", variables={"STRONGROOM_LEASE": "5"})
    assert found == {
        "store": {
            "value": "postgresql://role:…@db/d",
            "source": "file",
            "named": "strongroom.toml",
            "line": 3,
        },
        "lease": {"value": 5.0, "source": "environment", "named": "STRONGROOM_LEASE", "line": None},
        "regions": {"value": ["eu-west-1"], "source": "file", "named": "strongroom.toml", "line": 2},
        "workers": {"value": 2, "source": "command line", "named": "--workers", "line": None},
    }
    assert shown("drain") == {"drain": {"value": 30.0, "source": "default", "named": None, "line": None}}
    head, row = config("show", "lease").stdout.splitlines()
    assert head.split() == ["SETTING", "VALUE", "FROM"]
    assert row.split() == ["lease", "10.0", "default"]


def test_a_value_that_cannot_be_used_is_not_shown_as_if_it_was() -> None:
    Path("strongroom.toml").write_text("lease = 99\n")
    done = config("show", "--json", "lease")
    assert json.loads(done.stdout)["lease"] == {"value": 10.0, "source": "default", "named": None, "line": None}
    assert "Warning: `lease` in `strongroom.toml`, line 1, is not valid" in done.stderr


def test_a_setting_that_does_not_exist() -> None:
    done = config("show", "regionz")
    assert done.exit_code == 2
    assert "there is no setting `regionz`; did you mean `regions`?" in done.stderr
