"""Where a token is, and how it is used."""

from pathlib import Path

import msgspec
from typing_extensions import override


class TokenAddress(msgspec.Struct, frozen=True):
    """A token, by the file of its module and its label or serial number, and the PIN of its user.

    ``arguments`` are for the module's initialization. At most ``handles`` session objects are kept, and ``threads``
    calls made at a time. ``start_lock`` is a file that processes lock while they log in.
    """

    module: Path
    token: str
    pin: str
    arguments: str | None = None
    handles: int = 1000
    threads: int = 8
    start_lock: Path | None = None

    @override
    def __repr__(self) -> str:
        return f"TokenAddress({self.module}, {self.token!r})"
