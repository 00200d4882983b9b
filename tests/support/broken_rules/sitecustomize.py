"""Breaks a rule of the nodes in every Python process that has this folder on its path, to see that a storm finds it.

The variable BROKEN_RULE names the rule. Python imports a module of this name when it starts.
"""

import os
from collections.abc import Callable
from threading import Thread
from typing import Any

from strongroom.store.leases import view


def _answer_at_once() -> None:
    from strongroom.store.postgresql import settler  # noqa: PLC0415 - not every process has a driver

    def when_settled(_self: object, _number: int, done: Callable[[], None], _lost: object = None) -> None:
        Thread(target=done).start()

    broken: Any = settler.Settler
    broken.when_settled = when_settled


def _ignore_leases() -> None:
    broken: Any = view.View
    made = broken.__init__

    def make(self: object, page: object, _uptime: object, pause: object) -> None:
        made(self, page, lambda: 0.0, pause)

    broken.__init__ = make


def _fill_unchecked() -> None:
    broken: Any = view.View
    broken.check_fill = lambda *_: None


_RULES = {
    "changes are answered at once": _answer_at_once,
    "leases are ignored": _ignore_leases,
    "caches are filled from any server": _fill_unchecked,
}
_RULES[os.environ["BROKEN_RULE"]]()
