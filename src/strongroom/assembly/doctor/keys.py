"""Checks of keys that will be deleted, of imported material that will expire, and of what is left to destroy."""

from collections.abc import Iterator

from strongroom.assembly.doctor.results import Finding, number_of, ok, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.audit.cloudtrail import event_time
from strongroom.clock import DAY

_MOST = 1000
_SOON = 7 * DAY
_OVERDUE = 3600.0
"""A running server does what is due every few seconds; so late, it does not do it."""


def check_destructions(scene: Scene) -> Iterator[Finding]:
    """Find out whether key material that was erased is still in a hardware token or an AWS CloudHSM cluster."""
    with scene.store.read() as reader:
        backlog = reader.destruction_backlog()
    if backlog.since is not None and scene.clock.now() - backlog.since > _OVERDUE:
        yield warning(
            f"key material that no key has is still in its token or cluster since {event_time(backlog.since)} "
            f"({number_of(backlog.count, 'object')})",
            "see what `token` and `problems` say; a server destroys it once the token or cluster can be reached",
        )
    yield ok(f"{number_of(backlog.count, 'object')} left to destroy" if backlog.count else "nothing is left to destroy")


def check_due(scene: Scene) -> Iterator[Finding]:
    """Tell what is due in the next seven days, and what a running server should have done."""
    now = scene.clock.now()
    with scene.store.read() as reader:
        late = {
            "deletions of keys": len(reader.keys_to_delete(now - _OVERDUE, _MOST)),
            "expiries of imported material": len(reader.keys_with_expired_material(now - _OVERDUE, _MOST)),
            "rotations": len(reader.keys_to_rotate(now - _OVERDUE, _MOST)),
        }
        deleted = len(reader.keys_to_delete(now + _SOON, _MOST))
        expiring = len(reader.keys_with_expired_material(now + _SOON, _MOST))
    if scene.is_served:
        for what, number in late.items():
            if number:
                yield warning(
                    f"{number} {what} are overdue by more than an hour, although a server runs",
                    "see what `clock` and `problems` say, and look for errors in the server's log",
                )
    yield ok(f"in the next 7 days, {deleted} will be deleted, and imported material of {expiring} will expire")
