"""A ledger of what a server has acknowledged, and what may be there after a fault.

Each *subject*, such as the policy of one key, has a history of attempts. One client at a time changes a subject, so its
attempts are in order. After a fault at some moment, a subject must be in the state of the last attempt that had been
acknowledged by then, or of a later one that had been sent: its outcome is unknown. Nothing else is allowed.

A *moment* is any number that grows: by default nanoseconds; with recorded writes, the length of their record.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fast_client import CallRefused


class Kind(StrEnum):
    """What a subject is, and its value."""

    STATE = "the state of a key"
    ALIAS = "the key of an alias"
    POLICY = "the policy of a key"
    GRANT = "whether a grant exists"
    ROTATIONS = "the number of rotations of a key"
    TAG = "the tag `round` of a key"


class Subject(NamedTuple):
    """One thing with a state of its own. ``name`` is the id of its key, its alias, or key and grant."""

    kind: Kind
    name: str


class Attempt(msgspec.Struct):
    """A call that was to give a subject a value. ``acknowledged`` is None while its outcome is unknown."""

    value: Hashable
    sent: int
    acknowledged: int | None = None


class Blob(msgspec.Struct, frozen=True):
    """A ciphertext that was handed out (Base64), and the plaintext it must give (Base64)."""

    key_id: str
    ciphertext: str
    plaintext: str
    acknowledged: int


class Ledger:
    """Safe to use from several threads that change different subjects."""

    def __init__(self, moment: Callable[[], int] = time.monotonic_ns) -> None:
        self.moment = moment
        self.blobs: list[Blob] = []
        self.requests: dict[str, int] = {}
        """Request id of a call that was answered with success → the moment of the answer."""
        self.subjects: dict[Subject, list[Attempt]] = defaultdict(list)
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, subject: Subject, value: Hashable) -> Iterator[None]:
        """Note a call that gives ``subject`` a value. One that is refused has no effect, unless its error is a 5xx."""
        made = Attempt(value, self.moment())
        with self._lock:
            self.subjects[subject].append(made)
        try:
            yield
        except CallRefused as error:
            if not error.outcome_unknown:
                with self._lock:
                    self.subjects[subject].remove(made)
            raise
        made.acknowledged = self.moment()

    def began(self, subject: Subject, value: Hashable, sent: int) -> None:
        """Note a subject that a call sent at the moment ``sent`` has created, and that had no name before."""
        with self._lock:
            self.subjects[subject].append(Attempt(value, sent, self.moment()))

    def encrypted(self, key_id: str, ciphertext: str, plaintext: str) -> None:
        """Note a ciphertext that was handed out."""
        with self._lock:
            self.blobs.append(Blob(key_id, ciphertext, plaintext, self.moment()))

    def answered(self, request_id: str) -> None:
        """Note a call that was answered with success."""
        self.requests[request_id] = self.moment()

    def acknowledged(self, at: int | None = None) -> int:
        """Return how many calls had been answered by a moment."""
        return sum(at is None or moment <= at for moment in [*self.requests.values()])

    def known(self, kind: Kind, at: int | None = None, until: int | None = None) -> dict[str, set[Hashable]]:
        """Return the names of subjects of a kind → the values allowed after a fault at a moment.

        With ``until``, the fault was at some moment between the two.
        """
        return {
            subject.name: allowed
            for subject, attempts in list(self.subjects.items())
            if subject.kind is kind and (allowed := _allowed(attempts, at, at if until is None else until))
        }

    def observed(self, subject: Subject, value: Hashable) -> None:
        """Note the value that was found after a fault: from now on it may not change by itself."""
        now = self.moment()
        self.subjects[subject].append(Attempt(value, now, now))


def _allowed(attempts: list[Attempt], at: int | None, until: int | None) -> set[Hashable]:
    """Return the values that are allowed in a span of time; none if the subject need not exist by then."""
    done = [index for index, each in enumerate(attempts) if _by(each.acknowledged, at)]
    if not done:
        return set()
    return {each.value for each in attempts[done[-1] :] if _by(each.sent, until)}


def _by(moment: int | None, at: int | None) -> bool:
    return moment is not None and (at is None or moment <= at)
