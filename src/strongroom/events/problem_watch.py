"""Makes events of the problems that a node has, when they begin and when they have ended."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from strongroom.audit.service_events import event_id_on
from strongroom.clock import Clock
from strongroom.event_destinations import PROBLEM, PROBLEM_ENDED, TOKEN_AVAILABLE, TOKEN_UNAVAILABLE
from strongroom.events.event import Event, own_event
from strongroom.problems import Problem, Subject

_ENDED_AFTER = 15.0
"""For so many seconds a problem must be gone: a process that is replaced has none until it has looked again."""


class KnownProblem(msgspec.Struct):
    """A problem of which an event told that it began."""

    text: str
    since: float


class ProblemWatch:
    """Compares the problems of a node with those that were told of. One thread uses it."""

    def __init__(
        self,
        current: Callable[[], Iterable[Problem]],
        told: Mapping[Subject, KnownProblem],
        place: Mapping[str, str],
        clock: Clock,
    ) -> None:
        """Begin with the problems that were ``told`` of by an earlier process.

        ``place`` has what all events say: ``node``, ``account`` and ``region``.
        """
        self._current = current
        self.told = dict(told)
        """What is open, as far as events have told."""
        self._place = place
        self._clock = clock
        self._gone_since: dict[Subject, float] = {}

    def look(self) -> Iterator[Event]:
        """Yield an event for each problem that has begun or ended since the last look."""
        current = {each.subject: each.text for each in self._current()}
        for subject, text in current.items():
            self._gone_since.pop(subject, None)
            if subject not in self.told:
                self.told[subject] = KnownProblem(text, self._clock.now())
                yield self._event(subject, ended=False)
        for subject in list(self.told):
            if subject in current:
                continue
            since = self._gone_since.setdefault(subject, self._clock.timer())
            if self._clock.timer() - since >= _ENDED_AFTER:
                del self._gone_since[subject]
                event = self._event(subject, ended=True)
                del self.told[subject]
                yield event

    def _event(self, subject: Subject, *, ended: bool) -> Event:
        known, now = self.told[subject], self._clock.now()
        if subject is Subject.TOKEN:
            detail_type = TOKEN_AVAILABLE if ended else TOKEN_UNAVAILABLE
        else:
            detail_type = PROBLEM_ENDED if ended else PROBLEM
        node = self._place["node"]
        return own_event(
            detail_type,
            {"node": node, "subject": str(subject), "text": known.text},
            event_id=event_id_on(f"{known.since:.6f}", detail_type, f"{node} {subject}"),
            now=now,
            account=self._place["account"],
            region=self._place["region"],
        )
