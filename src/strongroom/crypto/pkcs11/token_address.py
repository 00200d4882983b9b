"""Where a token is, and how it is used."""

from pathlib import Path

import msgspec
from typing_extensions import override


class TokenAddress(msgspec.Struct, frozen=True):
    """A token, by the file of its module and its label or serial number, and the PIN of its user.

    ``arguments`` are for the module's initialization. At most ``handles`` session objects are kept, and ``threads``
    calls made at a time. ``start_lock`` is a file that processes lock while they log in.

    ``use`` is what the token is for: one process does not use a token for two things. ``pin_from`` names where the PIN
    is from. If the use is ``exclusive``, its sessions end when it does, and a login that another has made is refused:
    then it is certain that the PIN was checked.

    ``wrap_mechanism`` is the number under which the token has AES key wrap with padding (RFC 5649), where that is one
    of its maker's.
    """

    module: Path
    token: str
    pin: str
    arguments: str | None = None
    handles: int = 1000
    threads: int = 8
    start_lock: Path | None = None
    use: str = "`pkcs11-token`"
    pin_from: str = "`pkcs11-pin-file`"
    exclusive: bool = False
    wrap_mechanism: int | None = None

    @override
    def __repr__(self) -> str:
        return f"TokenAddress({self.module}, {self.token!r})"
