"""Names of files in settings: which values are such names, and to which folder they are relative."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import inspect

from strongroom.file_names import PATHS
from strongroom.settings import Settings, SettingsError
from strongroom.settings_sources import find, load

NAMES = {
    "data": "",
    "store-password-file": "",
    "tls-cert": "",
    "tls-key": "",
    "tls-client-ca": "",
    "pkcs11-module": "",
    "pkcs11-pin-file": "",
    "seal-passphrase-file": "",
    "attestation-roots": "",
    "identity-providers.jwks": "",
    "identity-provider-keys.jwks": "",
    "audit-ship.to": "folder:",
    "audit-ship.ca": "",
    "audit-ship.cert": "",
    "audit-ship.key": "",
    "events.to": "file:",
    "events.secret-file": "",
    "events.ca": "",
    "events.cert": "",
    "events.key": "",
    "xks-proxies.ca": "",
    "xks-proxies.cert": "",
    "xks-proxies.key": "",
    "cloudhsm-clusters.module": "",
    "cloudhsm-clusters.trust-anchor": "",
    "xks-tls-cert": "",
    "xks-tls-key": "",
    "xks-tls-client-ca": "",
}
"""All values that name a file or folder, by setting and member, with what comes before the name."""
OTHER_TEXTS = {
    *("store", "store-direct", "listen", "xks-listen", "metrics-listen", "traces", "account", "regions"),
    *("tls-min-version", "tls-ciphers", "trusted-proxies", "cors-origins", "xks-client-names"),
    *("key-protection", "durability", "log-format", "log-level", "pkcs11-token", "pkcs11-init-args"),
    *("identity-providers.issuer", "identity-providers.audiences", "identity-provider-keys.issuer"),
    *("audit-ship.endpoint", "audit-ship.region", "events.detail-types", "events.arguments"),
    *("xks-proxies.host", "xks-proxies.address", "request-quotas.requests", "request-quotas.account"),
    *("cloudhsm-clusters.id", "cloudhsm-clusters.token", "cloudhsm-clusters.init-args", "cloudhsm-clusters.account"),
}
"""All other values that are texts."""


def texts(kind: inspect.Type, name: str, *, is_path: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the name of each text in a type, and whether it is marked as one that can name a file."""
    match kind:
        case inspect.Metadata():
            yield from texts(kind.type, name, is_path=PATHS in (kind.extra or {}))
        case inspect.UnionType():
            for each in kind.types:
                yield from texts(each, name)
        case inspect.VarTupleType():
            yield from texts(kind.item_type, name)
        case inspect.StructType():
            for field in kind.fields:
                yield from texts(field.type, f"{name}.{field.encode_name}".lstrip("."))
        case inspect.StrType() | inspect.LiteralType():
            yield name, is_path
        case _:
            pass


def given(name: str, value: str) -> str:
    """Return the lines of a settings file that give a setting, or a member of one in a list, a value."""
    setting, _, member = name.partition(".")
    if member:
        return f"[[{setting}]]\n{member} = '{value}'\n"
    return f"{setting} = ['{value}']\n" if setting == "attestation-roots" else f"{setting} = '{value}'\n"


def test_each_text_of_the_settings_is_known_as_the_name_of_a_file_or_as_none() -> None:
    found = dict(texts(inspect.type_info(Settings), ""))
    assert {name for name, is_path in found.items() if is_path} == set(NAMES)
    assert {name for name, is_path in found.items() if not is_path} == OTHER_TEXTS


FILES = """\
data = "data"
store = "postgresql://u@h/d"
store-password-file = "secrets/store"
tls-cert = "c.pem"
tls-key = "k.pem"
tls-client-ca = "../ca.pem"
pkcs11-module = "./module.so"
pkcs11-token = "t"
pkcs11-pin-file = "pin"
pkcs11-init-args = "configdir=nss"
seal-passphrase-file = "/run/passphrase"
attestation-roots = ["r.pem", "/etc/r.pem"]
xks-tls-cert = "xc.pem"
xks-tls-key = "xk.pem"
xks-tls-client-ca = "xca.pem"

[[identity-providers]]
issuer = "https://i"
jwks = "i.json"

[[identity-provider-keys]]
issuer = "https://i"
jwks = "ik.json"

[[audit-ship]]
to = "folder:shipped"

[[audit-ship]]
to = "s3://bucket/a/b"
ca = "s-ca.pem"
cert = "s.pem"
key = "s-key.pem"

[[events]]
to = "file:events.jsonl"

[[events]]
to = "command:./notify"

[[events]]
to = "https://hooks.example.com/a"
secret-file = "webhook"
ca = "w-ca.pem"
cert = "w.pem"
key = "w-key.pem"

[[xks-proxies]]
host = "proxy.example.com"
ca = "p-ca.pem"
cert = "p.pem"
key = "p-key.pem"

[[cloudhsm-clusters]]
id = "cluster-2222222aaaa"
module = "lib/cluster.so"
token = "other"
trust-anchor = "anchor.pem"
"""


@pytest.mark.parametrize("named", ["conf/strongroom.toml", "{here}/conf/strongroom.toml"])
def test_names_in_a_file_are_relative_to_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find(FILES, {}, {}, named.format(here=tmp_path))
    assert found.mistakes == ()
    settings, folder = found.settings, tmp_path / "conf"
    assert settings.data == f"{folder}/data"
    assert settings.store_password_file == f"{folder}/secrets/store"
    assert (settings.tls_cert, settings.tls_key) == (f"{folder}/c.pem", f"{folder}/k.pem")
    assert settings.tls_client_ca == f"{folder}/../ca.pem"
    assert (settings.pkcs11_module, settings.pkcs11_pin_file) == (f"{folder}/module.so", f"{folder}/pin")
    assert settings.pkcs11_init_args == "configdir=nss"
    assert settings.seal_passphrase_file == "/run/passphrase"
    assert settings.attestation_roots == (f"{folder}/r.pem", "/etc/r.pem")
    assert (settings.xks_tls_cert, settings.xks_tls_key) == (f"{folder}/xc.pem", f"{folder}/xk.pem")
    assert settings.xks_tls_client_ca == f"{folder}/xca.pem"
    assert settings.identity_providers[0].jwks == f"{folder}/i.json"
    assert settings.identity_provider_keys[0].jwks == f"{folder}/ik.json"
    shipped, stored = settings.audit_ship
    assert (shipped.to, stored.to) == (f"folder:{folder}/shipped", "s3://bucket/a/b")
    assert (stored.ca, stored.cert, stored.key) == (f"{folder}/s-ca.pem", f"{folder}/s.pem", f"{folder}/s-key.pem")
    file, command, hook = settings.events
    assert (file.path, command.path) == (f"{folder}/events.jsonl", f"{folder}/notify")
    assert (hook.to, hook.secret_file) == ("https://hooks.example.com/a", f"{folder}/webhook")
    assert (hook.ca, hook.cert, hook.key) == (f"{folder}/w-ca.pem", f"{folder}/w.pem", f"{folder}/w-key.pem")
    (proxy,) = settings.xks_proxies
    assert (proxy.ca, proxy.cert, proxy.key) == (f"{folder}/p-ca.pem", f"{folder}/p.pem", f"{folder}/p-key.pem")
    (cluster,) = settings.cloudhsm_clusters
    assert (cluster.module, cluster.trust_anchor) == (f"{folder}/lib/cluster.so", f"{folder}/anchor.pem")


def test_other_names_are_relative_to_the_current_folder() -> None:
    settings = load(
        'seal-passphrase-file = "a"\ntls-client-ca = "a"\ntls-cert = "a"\n',
        {"STRONGROOM_SEAL_PASSPHRASE_FILE": "b", "STRONGROOM_ATTESTATION_ROOTS": "c,/d"},
        {"tls_client_ca": "e", "data": "f", "tls_cert": "g", "tls_key": "h"},
        "/etc/strongroom/strongroom.toml",
    )
    assert (settings.seal_passphrase_file, settings.attestation_roots) == ("b", ("c", "/d"))
    assert (settings.tls_client_ca, settings.data, settings.tls_cert, settings.tls_key) == ("e", "f", "g", "h")
    assert load("", {}, {}, "/etc/strongroom/strongroom.toml").data == Settings().data


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('pkcs11-module = "softhsm.so"', "`pkcs11-module` must be an absolute path"),
        ('[[events]]\nto = "command:notify"', "the path must be absolute, as in command:/PATH"),
        ('data = ""', "it must be the name of a file or folder, not empty"),
        (r'data = "a\u0000"', "it has the name of a file with the character NUL"),
        (r'attestation-roots = ["a", "b\u0000"]', "it has the name of a file with the character NUL"),
        ("data = 7", "it must be the name of a file or folder in quotes, not `7`"),
        ('[[audit-ship]]\nto = ["folder:a"]', "`to` of entry 1 must be text of 1 to 1024 characters, not a list"),
        ("[[audit-ship]]\ntoo = 'folder:a'", "entry 1 has `too`, which is no setting there; did you mean `to`?"),
        ("audit-ship = ['folder:a']", "entry 1 must be a table"),
    ],
)
def test_what_is_no_name_of_a_file_stays_as_it_is(document: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(document, {}, {})


@pytest.mark.parametrize("home", ["~", "~/x", "~kms/x"])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_home_folder_is_not_expanded(name: str, home: str) -> None:
    told = f"`{NAMES[name]}{home}` has `~`, which is not expanded; write the name of the home folder"
    is_module = name.endswith("module") and "/" not in home
    found = [each.text for each in find(given(name, NAMES[name] + home), {}, {}).mistakes]
    assert any(told in each for each in found) != is_module, found


def test_a_home_folder_is_not_expanded_on_the_command_line_and_in_the_environment() -> None:
    with pytest.raises(SettingsError, match="--data is not valid: `~/data` has `~`, which is not expanded"):
        load("", {}, {"data": "~/data"})
    with pytest.raises(SettingsError, match="STRONGROOM_ATTESTATION_ROOTS is not valid: `~/r` has `~`"):
        load("", {"STRONGROOM_ATTESTATION_ROOTS": "a.pem,~/r"}, {})
    assert load("", {}, {"data": "~data"}).data == "~data"


def test_the_folder_of_a_file_must_be_utf_8() -> None:
    folder = b"/etc/\xff".decode(errors="surrogateescape")
    with pytest.raises(SettingsError, match="it is not UTF-8; rename the file or folder"):
        load('data = "data"', {}, {}, f"{folder}/strongroom.toml")


def test_a_data_folder_where_earlier_builds_looked_for_it_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a name was relative to the current folder: a start would make a new deployment."""
    monkeypatch.chdir(tmp_path)
    here, there = tmp_path / "conf" / "data", tmp_path / "conf" / "conf" / "data"
    document = 'data = "conf/data"'
    assert load(document, {}, {}, "conf/strongroom.toml").folder == there
    here.mkdir(parents=True)
    assert load(document, {}, {}, "conf/strongroom.toml").folder == there
    (here / "node-id").touch()
    with pytest.raises(SettingsError) as refused:
        load(document, {}, {}, "conf/strongroom.toml")
    assert str(refused.value) == (
        f"`data` in `conf/strongroom.toml`, line 1, is not valid: it is `{there}`, which does not exist, but there is "
        f"a data folder `{here}`; write the absolute name of the one that is meant"
    )
    assert load(document, {}, {"data": "conf/data"}, "conf/strongroom.toml").data == "conf/data"
    there.mkdir(parents=True)
    assert load(document, {}, {}, "conf/strongroom.toml").folder == there
