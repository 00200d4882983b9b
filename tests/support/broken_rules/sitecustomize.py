"""Breaks a rule of the nodes in every Python process that has this folder on its path, to see that a storm finds it.

The variable BROKEN_RULE names the rule. Python imports a module of this name when it starts.
"""

import os
import threading
from collections.abc import Callable

from strongroom.store.leases.page import PageReader
from strongroom.store.leases.view import Fill, View


def _answer_at_once() -> None:
    from strongroom.store.postgresql.settler import Settler  # noqa: PLC0415 - not every process has a driver

    def when_settled(_: Settler, _number: int, done: Callable[[], None]) -> None:
        threading.Thread(target=done).start()

    Settler.when_settled = when_settled  # type: ignore[method-assign]


def _ignore_leases() -> None:
    made = View.__init__

    def make(self: View, page: PageReader, _uptime: Callable[[], float], pause: Callable[[float], None]) -> None:
        made(self, page, lambda: 0.0, pause)

    View.__init__ = make  # type: ignore[method-assign]


def _fill_unchecked() -> None:
    def check_fill(_: View, _fill: Fill, _seen: object, _longest: float = 0.0) -> None: ...

    View.check_fill = check_fill  # type: ignore[method-assign]


{
    "changes are answered at once": _answer_at_once,
    "leases are ignored": _ignore_leases,
    "caches are filled from any server": _fill_unchecked,
}[os.environ["BROKEN_RULE"]]()
