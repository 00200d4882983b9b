"""Where a PostgreSQL database is, and how to log in to it."""

from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from strongroom.whole_files import read_regular

_LOCAL = "localhost"
_SCHEMES = ("postgresql", "postgres")
_HIGHEST_PORT = 65535


class AddressError(Exception):
    """An address is no connection string or URI of libpq. The message does not have it: it may hold a password."""


class Address:
    """A connection string or URI of libpq, and a file with the password, if that is not in the string.

    The file is read at each connection, so that the password can be changed while servers run. ``name`` is for people.
    Raises AddressError.
    """

    def __init__(self, conninfo: str, password_file: Path | None = None) -> None:
        try:
            self.parts = conninfo_to_dict(conninfo)
        except psycopg.ProgrammingError:
            raise AddressError("it is no connection string or URI of libpq") from None
        hosts = str(self.parts.get("host") or self.parts.get("hostaddr") or _LOCAL)
        database = self.parts.get("dbname") or self.parts.get("user")
        # All of these may be a part of the password then, and names and messages of libpq are shown.
        if "@" in hosts:
            raise AddressError("`@` in a user's name or password has to be written as `%40`")
        ports = str(self.parts.get("port", ""))
        if not _are_ports(ports) or "@" in _path(conninfo):
            raise AddressError(
                "a port has to be a number from 1 to 65535, and `/` and `@` in a user's name, password or database "
                "have to be written as `%2F` and `%40`"
            )
        if {*"&=?"} & {*str(database)}:
            raise AddressError("the name of the database has `&`, `=` or `?`; parameters begin with one `?`")
        self._conninfo = conninfo
        self._password_file = password_file
        places = _with_ports(hosts.split(","), ports.split(","))
        self.name = f"{places}/{database}" if database else places

    def conninfo(self) -> str:
        """Return the connection string with the password. It must not be shown.

        Of several hosts it leads to the one that can be written, unless it says something else. Raises
        psycopg.OperationalError if the file of the password cannot be read.
        """
        more: dict[str, str] = {}
        if "," in self.name and "target_session_attrs" not in self.parts:
            more["target_session_attrs"] = "read-write"
        if self._password_file is not None:
            more["password"] = _first_line(self._password_file)
        return make_conninfo(self._conninfo, **more) if more else self._conninfo


def _with_ports(hosts: Sequence[str], ports: Sequence[str]) -> str:
    """Return hosts with the ports that are given for them: one for all, or one for each, which may be empty."""
    each = ports if len(ports) == len(hosts) else [ports[0]] * len(hosts)
    return ",".join(_with_port(*place) for place in zip(hosts, each, strict=True))


def _with_port(host: str, port: str) -> str:
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _are_ports(ports: str) -> bool:
    return all(
        not port or (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _HIGHEST_PORT)
        for port in ports.split(",")
    )


def _path(conninfo: str) -> str:
    """Return the path of a URI as it is written; empty for a connection string."""
    scheme, _, rest = conninfo.partition("://")
    return rest.partition("/")[2].partition("?")[0] if scheme in _SCHEMES else ""


def _first_line(path: Path) -> str:
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise psycopg.OperationalError(f"the file of the password, `{path}`, cannot be read: {reason}") from None
    if not lines or not lines[0]:
        raise psycopg.OperationalError(f"the file of the password, `{path}`, has nothing in its first line")
    return lines[0]
