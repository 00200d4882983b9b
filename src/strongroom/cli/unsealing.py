"""How commands get passphrases and PINs, and how processes that serve wait for a seal that is unavailable."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import click

from strongroom.assembly.seal_events import SealEvents
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.seal import SealUnavailableError
from strongroom.entropy import system_entropy
from strongroom.server.sealed_listener import SealedListener
from strongroom.server.tls import Tls
from strongroom.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 1, 60
"""Seconds between two attempts to open a seal that is unavailable."""


def unsealing_of(settings: Settings) -> Unsealing:
    """Return what opens the seals of a data folder for a command."""
    if not sys.stdin.isatty():
        return Unsealing(settings, system_entropy)
    return Unsealing(settings, system_entropy, _ask, ask_pin=_ask_pin)


def wait_for_seals(act: Callable[[], T], settings: Settings, events: SealEvents | None = None) -> T:
    """Return what ``act`` returns, which opens the seals.

    While no seal opens that may do so later, try again, with growing pauses, and let health checks at the address of
    the settings know why, and other programs by ``events``.
    """
    pause = _FIRST_PAUSE
    with ExitStack() as meanwhile:
        listener: SealedListener | None = None
        while True:
            try:
                result = act()
                if events is not None:
                    events.opened()
                return result  # noqa: TRY300 - what follows is for a seal that did not open
            except SealUnavailableError as error:
                logger.error("%s; trying again in %d s", error, pause)  # noqa: TRY400 - one line is enough
                if listener is None:
                    listener = SealedListener(str(error), Tls(settings).context)
                    meanwhile.enter_context(listener.listening(*settings.address))
                listener.reason = str(error)
                if events is not None:
                    events.unavailable(str(error))
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)


def _ask(name: str) -> str:
    """Ask for the passphrase of a seal. What is typed is not shown."""
    found: str = click.prompt(f"Passphrase of the seal {name!a}", hide_input=True, err=True)
    return found


def _ask_pin(token: str) -> str:
    """Ask for the PIN of a token, which may need none. What is typed is not shown."""
    what = f"PIN of the token {token!a} (only Enter if it needs none)"
    found: str = click.prompt(what, hide_input=True, err=True, default="", show_default=False)
    return found
