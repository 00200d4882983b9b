"""What is said of settings that cannot be: where they are, what they can be, and what was meant."""

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import inspect

from strongroom.settings import Settings, SettingsError
from strongroom.settings_sources import SourceKind, find, load
from strongroom.settings_values import without_secrets


def messages(document: str = "", environment: dict[str, str] | None = None, **flags: object) -> list[str]:
    """Return all that is wrong with settings."""
    return [each.text for each in find(document, environment or {}, flags).mistakes]


AT = "in `strongroom.toml`, line"
ISSUER = "[[identity-providers]]\njwks = 'k'\nissuer = 'https://i'\n"
SHIP = "[[audit-ship]]\nto = 's3://b'\n"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('region = ["no"]', f"`region` {AT} 1, is not valid: entry 1 must be a Region such as us-east-1, not `no`"),
        ("lisen = 1", f"`lisen` {AT} 1, is no setting; did you mean `listen`?"),
        ("clock_skew = 1", f"`clock_skew` {AT} 1, is no setting; did you mean `clock-skew`?"),
        ("zebra = 1", f"`zebra` {AT} 1, is no setting; docs/settings.md has all settings"),
        (
            'regions = ["us-east-1"]\nregion = "us-east-1"',
            f"`region` {AT} 2, is another name for `regions`, which is there too; leave one out",
        ),
        (
            'regions = "us-east-1"',
            (
                f'`regions` {AT} 1, is not valid: it must be a list such as ["one", "two"], with one entry at least, '
                "not `us-east-1`"
            ),
        ),
        (
            "regions = []",
            (
                f'`regions` {AT} 1, is not valid: it must be a list such as ["one", "two"], with one entry at least, '
                "not a list of none"
            ),
        ),
        ('account = "12"', f"`account` {AT} 1, is not valid: it must be an account id of 12 digits, not `12`"),
        (
            'log-level = "loud"',
            f"`log-level` {AT} 1, is not valid: it must be one of debug, info, warning, error, not `loud`",
        ),
        (
            "account = 111122223333",
            f"`account` {AT} 1, is not valid: it must be an account id of 12 digits in quotes, not `111122223333`",
        ),
        (
            "tls-min-version = 1.3",
            f"`tls-min-version` {AT} 1, is not valid: it must be one of 1.2, 1.3 in quotes, not `1.3`",
        ),
        ('access-log = "on"', f"`access-log` {AT} 1, is not valid: it must be true or false, not `on`"),
        ("workers = 61", f"`workers` {AT} 1, is not valid: it must be a whole number from 0 to 60, not `61`"),
        ("workers = true", f"`workers` {AT} 1, is not valid: it must be a whole number from 0 to 60, not `true`"),
        (
            "clock-skew = 0",
            f"`clock-skew` {AT} 1, is not valid: it must be a number above 0 and at most 31622400, not `0`",
        ),
        (
            'store-poll = "often"',
            f"`store-poll` {AT} 1, is not valid: it must be a number from 0.01 to 0.5, not `often`",
        ),
        ('tls-cert = ""', f"`tls-cert` {AT} 1, is not valid: it must be the name of a file or folder, not empty"),
        ("data = {}", f"`data` {AT} 1, is not valid: it must be the name of a file or folder, not a table"),
        (
            f'pkcs11-token = "{"t" * 100}"',
            f"`pkcs11-token` {AT} 1, is not valid: it must be text of 1 to 64 characters, not `{'t' * 80}…`",
        ),
        (
            'traces = "https//u:p@h"',
            f"`traces` {AT} 1, is not valid: it must be a URL that begins with http:// or https://, not `https//u:p@h`",
        ),
        (
            'identity-providers = ["a"]',
            f"`identity-providers` {AT} 1, is not valid: entry 1 must be a table of names and values, not `a`",
        ),
        (
            f"{ISSUER}\n{ISSUER}isuer = 'x'",
            (
                f"`identity-providers` {AT} 1, is not valid: entry 2 has `isuer`, which is no setting there; "
                "did you mean `issuer`?"
            ),
        ),
        (
            "[[identity-providers]]\nissuer = 'https://i'",
            f"`identity-providers` {AT} 1, is not valid: entry 1 needs `jwks`",
        ),
        (
            f"{ISSUER}audiences = [1]",
            (
                f"`identity-providers` {AT} 1, is not valid: "
                "entry 1 of `audiences` of entry 1 must be text in quotes, not `1`"
            ),
        ),
        (
            ISSUER.replace("https://i", "i"),
            (
                f"`identity-providers` {AT} 1, is not valid: `issuer` of entry 1 must be a URL without `?` and `#` "
                "that begins with https:// or http://, not `i`"
            ),
        ),
        (
            f"{SHIP}interval = 0",
            f"`audit-ship` {AT} 1, is not valid: `interval` of entry 1 must be a number from 0.1 to 3600, not `0`",
        ),
        ('xks-listen = "x"', f"`xks-listen` {AT} 1, is not valid: it must be HOST:PORT, not `x`"),
        ('lease = "\\u001b"', f"`lease` {AT} 1, is not valid: it must be a number from 2 to 60, not `\\x1b`"),
    ],
)
def test_a_message_tells_where_it_is_and_what_it_can_be(document: str, says: str) -> None:
    assert messages(document) == [says]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"STRONGROOM_WORKERS": "many"}, "STRONGROOM_WORKERS is not valid: it must be a whole number from 0 to 60"),
        ({"STRONGROOM_REGION": "here"}, "STRONGROOM_REGION is not valid: entry 1 must be a Region such as us-east-1"),
        (
            {"STRONGROOM_REGION": "us-east-1", "STRONGROOM_REGIONS": "us-east-1"},
            "STRONGROOM_REGION is another name for STRONGROOM_REGIONS, which is set too; unset one of them",
        ),
        (
            {"STRONGROOM_AUDIT_SHIP": "folder:/x"},
            "STRONGROOM_AUDIT_SHIP is not valid: it must be a list of tables, which only a settings file can have",
        ),
    ],
)
def test_a_message_names_the_variable(environment: dict[str, str], says: str) -> None:
    [found] = messages(environment=environment)
    assert found.startswith(says)


def test_a_message_names_the_option() -> None:
    assert messages(regions=("nowhere",)) == [
        "--region is not valid: entry 1 must be a Region such as us-east-1, not `nowhere`"
    ]


def test_everything_is_told_at_once_and_the_first_where_one_line_has_to_do() -> None:
    document = 'lisen = 1\nlog-level = "loud"\nlease = 99\ntls-cert = "c"\ncors-origins = ["a", "b"]\n[[x]]\n'
    found = messages(document, {"STRONGROOM_ACCOUNT": "1"})
    assert len(found) == 8
    assert [each.split()[0] for each in found[:5]] == [
        *("`lisen`", "`x`", "`log-level`", "`lease`", "STRONGROOM_ACCOUNT")
    ]
    with pytest.raises(SettingsError, match=r"`lisen` .* \(and 7 more: run strongroom config check\)$"):
        load(document, {"STRONGROOM_ACCOUNT": "1"}, {})


def test_a_rule_about_a_value_that_cannot_be_used_says_nothing() -> None:
    """Its default in the place of it would be judged, which is what no one has set."""
    assert len(messages('listen = 1.5\ntls-cert = "c"\ntls-key = 2')) == 2
    assert len(messages('listen = "0.0.0.0:x"')) == 1


def test_the_names_of_regions() -> None:
    for document in ('region = "eu-west-1"', 'region = ["eu-west-1"]', 'regions = ["eu-west-1"]'):
        assert load(document, {}, {}).regions == ("eu-west-1",)
    for variable in ("STRONGROOM_REGION", "STRONGROOM_REGIONS"):
        given = {variable: "eu-west-1, us-east-1"}
        assert load('region = "us-west-2"', given, {}).regions == ("eu-west-1", "us-east-1")


def test_an_empty_variable_has_no_effect() -> None:
    found = find('log-level = "debug"', {"STRONGROOM_LOG_LEVEL": "", "STRONGROOM_REGION": ""}, {})
    assert found.settings.log_level == "debug"
    assert found.notes == (
        "the variable STRONGROOM_LOG_LEVEL is empty, and has no effect",
        "the variable STRONGROOM_REGION is empty, and has no effect",
    )


def test_a_variable_that_is_no_setting_is_told() -> None:
    found = find("", {"STRONGROOM_LISTENS": "x", "STRONGROOM_Ü": "x"}, {})
    assert not found.mistakes
    assert found.notes == (
        (
            "the variable 'STRONGROOM_LISTENS' is no setting, and has no effect; "
            "the most similar setting is STRONGROOM_LISTEN"
        ),
        "the variable 'STRONGROOM_\\xdc' is no setting, and has no effect",
    )


def test_each_setting_has_a_source() -> None:
    document = '# the first line\nlease = 5\nlog-level = "debug"\n[[audit-ship]]\nto = "s3://b"\nregion = "x"\n'
    everything = find(document, {"STRONGROOM_LOG_LEVEL": "error"}, {"workers": 3, "data": None})
    assert set(everything.sources) == {each.encode_name for each in msgspec.structs.fields(Settings)}
    found = {name: each for name, each in everything.sources.items() if each.kind is not SourceKind.DEFAULT}
    assert {name: each.text for name, each in found.items()} == {
        "lease": "strongroom.toml:2",
        "log-level": "STRONGROOM_LOG_LEVEL",
        "audit-ship": "strongroom.toml:4",
        "workers": "--workers",
    }
    assert everything.sources["regions"].text == "default"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://u:se/cr@et@h/d", "postgresql://u:…@h/d"),
        ("postgresql://u@h/d?password=secret&sslmode=require", "postgresql://u@h/d?password=…&sslmode=require"),
        ("host=h password='se cret' dbname=d", "host=h password=… dbname=d"),
        ("host=h PASSWORD = secret", "host=h PASSWORD = …"),
        ([{"to": "s3://id:secret@b"}], [{"to": "s3://id:…@b"}]),
        ("host=db password=se&cret", "host=db password=…"),
        (r"password=se\ cret host=db", "password=… host=db"),
        ("password=a://se&cret host=db", "password=… host=db"),
        (r"password='se\'cr et' host=db", "password=… host=db"),
        ("host=db password='se cret", "host=db password=…"),
        ("host=db sslpassword = secret", "host=db sslpassword = …"),
        ("host=db oauth_client_secret=secret", "host=db oauth_client_secret=…"),
        ([{"to": "http://h/secret"}], [{"to": "http://…"}]),
        ([{"to": "HTTPS://h/secret"}], [{"to": "HTTPS://…"}]),
        ([{"to": "https://secret@h"}], [{"to": "https://h/…50159f"}]),
        ([{"to": "https://h"}], [{"to": "https://h"}]),
        ([{"to": "file:/var/log/events"}], [{"to": "file:/var/log/events"}]),
        ([{"to": "https://u:p@h:1/se/cret"}], [{"to": "https://h:1/…271604"}]),
        ("127.0.0.1:4599", "127.0.0.1:4599"),
        (3, 3),
    ],
)
def test_a_password_is_not_shown(value: object, shown: object) -> None:
    assert without_secrets(value) == shown


def test_no_pattern_is_without_a_description() -> None:
    """A message would have to show the regular expression, or say nothing of use."""
    described = {each for each in _texts("", inspect.type_info(Settings)) if each.endswith("+")}
    assert not {each for each in _texts("", inspect.type_info(Settings)) if each.endswith("-")}
    assert len(described) > 5


def _texts(path: str, kind: inspect.Type, mark: str = "-") -> Iterator[str]:
    """Yield the paths of all texts with patterns in a type, with `+` after those that have a description, else `-`."""
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            yield from _texts(path, inner, "+" if extra and "description" in extra else mark)
        case inspect.UnionType(types=kinds):
            yield from (found for each in kinds for found in _texts(path, each, mark))
        case inspect.VarTupleType(item_type=item):
            yield from _texts(path, item)
        case inspect.StructType(fields=fields):
            yield from (found for each in fields for found in _texts(f"{path}.{each.encode_name}", each.type))
        case inspect.StrType(pattern=str()):
            yield path + mark
        case _:
            pass
