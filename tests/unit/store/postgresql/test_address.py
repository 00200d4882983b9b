"""Addresses of databases: what messages call them, and where the password comes from."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from strongroom.store.postgresql.address import Address, AddressError


@pytest.mark.parametrize(
    ("conninfo", "name"),
    [
        ("postgresql://u:secret@db1/d", "db1/d"),
        ("postgresql://u:secret@db1:1,db2:2/d?sslmode=require", "db1:1,db2:2/d"),
        ("host=/run/postgresql dbname=d password=secret", "/run/postgresql/d"),
        ("hostaddr=10.0.0.1 user=u", "10.0.0.1/u"),
        ("user=u", "localhost/u"),
        ("sslmode=require", "localhost"),
        ("postgresql://u@h1:1,h2/a%40b", "h1:1,h2/a@b"),
        ("host=h1,h2 port=1,65535 dbname=a@b", "h1:1,h2:65535/a@b"),
        ("host=h1,h2 port=7 dbname=d", "h1:7,h2:7/d"),
        ("host=::1 port=7 dbname=d", "[::1]:7/d"),
        ("host=/run/postgresql port=7 dbname=d", "/run/postgresql:7/d"),
    ],
)
def test_the_name_has_no_password(conninfo: str, name: str) -> None:
    assert Address(conninfo).name == name


@pytest.mark.parametrize(
    "conninfo",
    [
        "secret",
        "nothing=secret",
        "host",
        "postgresql://u@h/d&password=secret",
        "postgresql://u:a@secret@h/d",
        "postgresql://h/?dbname=d?password=secret",
        "postgresql://u:a/secret@h/d",
        "postgresql://u:secret/a@h/d",
        "postgresql://u:1/secret@h/d",
        "host=h port=secret",
        "host=h port=65536",
    ],
)
def test_what_is_no_address_is_not_shown(conninfo: str) -> None:
    with pytest.raises(AddressError) as refused:
        Address(conninfo)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_the_password_is_read_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    address = Address("postgresql://u@h/d", file)
    for content, password in (("one\n", "one"), ("it's \\ two\nrest", "it's \\ two")):
        file.write_text(content)
        found = conninfo_to_dict(address.conninfo())
        assert (found["password"], found["host"], found["dbname"]) == (password, "h", "d")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b"", "has nothing in its first line"), (b"\nx", "has nothing"), (b"\xff", "is no text")],
)
def test_a_password_file_that_cannot_be_used_is_a_fault_of_connecting(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    """A running server then types it, and tries again."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(psycopg.OperationalError, match=says):
        Address("postgresql://u@h/d", file).conninfo()


@pytest.mark.parametrize(
    ("conninfo", "attributes"),
    [
        ("postgresql://h/d", None),
        ("postgresql://h1,h2/d", "read-write"),
        ("postgresql://h1,h2/d?target_session_attrs=any", "any"),
    ],
)
def test_of_several_hosts_the_one_that_can_be_written_is_used(conninfo: str, attributes: str | None) -> None:
    assert conninfo_to_dict(Address(conninfo).conninfo()).get("target_session_attrs") == attributes
