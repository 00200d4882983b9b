"""Has a process follow the domain keys of its database, which other processes rotate while it runs."""

import logging
import threading
import time
from collections.abc import Callable
from threading import Thread

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.seal import SealedDomainKey, SealUnavailableError, UnsealError
from strongroom.errors import KmsError
from strongroom.problems import Problems, Subject
from strongroom.store.protocol import Readable

logger = logging.getLogger(__name__)

_TRY_AGAIN = 5.0
"""The time after which a process tries again to open a domain key that it could not open: it may take a second."""
_CLOSED = "the domain keys were rotated, and the server cannot open the new ones ({}); if this does not end, restart it"


def follow_domain_keys(
    domain_keys: DomainKeys,
    folder: DataFolder,
    store: Readable,
    unsealing: Unsealing,
    problems: Problems,
    timer: Callable[[], float] = time.perf_counter,
) -> None:
    """Have a process take over domain keys that others make or destroy while it runs."""
    # Of two threads, the one that has read an older state must not be the last to take its state over.
    rereading = threading.Lock()
    failed: tuple[float, list[SealedDomainKey]] = float("-inf"), []

    def stored() -> list[SealedDomainKey]:
        with store.read() as reader:
            return reader.domain_keys()

    def reread() -> None:
        nonlocal failed
        with rereading:
            sealed = stored()
            if sealed == failed[1] and timer() < failed[0] + _TRY_AGAIN:
                return
            while not domain_keys.are(sealed):
                try:
                    domain_keys.update(sealed, unsealing.seal(folder, sealed))
                except (UnsealError, SealUnavailableError, DataFolderError) as error:
                    before, sealed = sealed, stored()
                    # Otherwise the root key was rotated between the read of its domain keys and that of its document.
                    if sealed == before:
                        problems.report(Subject.DOMAIN_KEYS, _CLOSED.format(error))
                        domain_keys.note_closed(sealed)
                        failed = timer(), sealed
                        return
            problems.resolve(Subject.DOMAIN_KEYS)

    def reread_soon() -> None:
        Thread(target=_logged, args=(domain_keys.reread,), name="domain-keys", daemon=True).start()

    domain_keys.follow(reread, reread_soon)


def _logged(reread: Callable[[], None]) -> None:
    """Read domain keys again; what fails is tried again by the call that needs it."""
    try:
        reread()
    except KmsError as error:
        logger.warning("domain keys that were changed meanwhile cannot be read yet: %s", error)
