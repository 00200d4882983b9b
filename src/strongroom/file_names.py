"""Types of settings that name a file or folder: ``settings_paths`` finds by them what has to be resolved."""

from typing import Annotated, NamedTuple

from msgspec import Meta

PATHS = "paths"
"""The key under which the extra description of a type has a tuple of ``PathAfter``."""


class PathAfter(NamedTuple):
    """A value that begins with ``beginning`` goes on with the name of a file or folder.

    With ``only_with_slash``, a name without a slash is none: others would search for it in folders of their own.
    """

    beginning: str
    only_with_slash: bool = False


FileName = Annotated[
    str, Meta(min_length=1, description="the name of a file or folder", extra={PATHS: (PathAfter(""),)})
]
ModuleName = Annotated[
    str,
    Meta(
        min_length=1,
        description="the name of a file or folder",
        extra={PATHS: (PathAfter("", only_with_slash=True),)},
    ),
]
"""The name of a shared library. The system looks for a name without a slash in its own folders."""
