"""The check of events: whether each destination takes them."""

from collections.abc import Iterator

from strongroom.assembly.doctor.results import Finding, number_of, ok, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.events import event_statuses, require_event_destinations
from strongroom.audit.cloudtrail import event_time


def check_events(scene: Scene) -> Iterator[Finding]:
    """Find out whether each destination takes events; raises SettingsError if one cannot be used as it is set."""
    settings = scene.settings
    if not settings.events:
        yield ok("events are sent nowhere")
        return
    require_event_destinations(settings)
    for each in event_statuses(settings):
        waiting = number_of(each.waiting, "event")
        if each.failing:
            text = f"{each.to} has not taken events since {event_time(each.since)}, {waiting} waiting: {each.failing}"
            yield warning(text, "try it with: strongroom events test")
        elif scene.is_served and each.is_stale(scene.clock.now()):
            yield warning(f"nothing sends events to {each.to}, {waiting} waiting", "see the log of the server")
        elif each.dropped:
            yield warning(
                f"{number_of(each.dropped, 'event')} for {each.to} dropped since the start of the server",
                "see the log of the server for why",
            )
        else:
            yield ok(f"{each.to} takes events")
