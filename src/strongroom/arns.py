"""Amazon Resource Names: the one place where they are taken apart.

Source: AWS General Reference, "Amazon Resource Names (ARNs)". The format is
``arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE``. Only the resource may contain further colons. Every function here
takes time proportional to the length of the text, whatever the text is.
"""

import msgspec
from typing_extensions import override

_PREFIX = "arn"
FIELDS = 6
"""So many fields an ARN has."""


class Arn(msgspec.Struct, frozen=True, gc=False):
    """An ARN by its fields. ``str`` of it is the text again. Fields can be empty, as IAM's Region is."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @override
    def __str__(self) -> str:
        return f"{_PREFIX}:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @property
    def resource_type(self) -> str:
        """What the resource is: the text before its first slash, all of it where there is none (``root``)."""
        return self.resource.partition("/")[0]

    @property
    def resource_id(self) -> str:
        """Which one it is: the text after the first slash, empty where there is none."""
        return self.resource.partition("/")[2]

    @property
    def resource_name(self) -> str:
        """The resource's name without its path: the text after the last slash, empty where there is none."""
        return self.resource_id.rpartition("/")[2]

    @property
    def resource_path(self) -> str:
        """The path before the resource's name, with a slash at each end: ``/`` where there is none."""
        path = self.resource_id.rpartition("/")[0]
        return f"/{path}/" if path else "/"


def parse_arn(text: str) -> Arn | None:
    """Return an ARN by its fields; None for text that is no ARN. What the fields contain is not checked."""
    fields = arn_fields(text)
    return None if fields is None or fields[0] != _PREFIX else Arn(*fields[1:])


def known_arn(text: str) -> Arn:
    """Return an ARN by its fields; raises ValueError for text that is no ARN. For ARNs that were accepted before."""
    arn = parse_arn(text)
    if arn is None:
        raise ValueError(text)
    return arn


def account_in(text: str) -> str:
    """Return the account of an ARN; empty for an ARN without one, and for text that is no ARN.

    Every decision on a key asks for it, so it makes no ``Arn``.
    """
    fields = text.split(":", FIELDS - 1)
    return fields[4] if len(fields) == FIELDS and fields[0] == _PREFIX else ""


def arn_fields(text: str) -> list[str] | None:
    """Return the six fields of an ARN or of a pattern for ARNs, the word ``arn`` first; None if there are fewer."""
    fields = possible_fields(text)
    return fields if len(fields) == FIELDS else None


def possible_fields(text: str) -> list[str]:
    """Return what would be the fields of an ARN: at most six, fewer for text that is none or is too short."""
    return text.split(":", FIELDS - 1)
