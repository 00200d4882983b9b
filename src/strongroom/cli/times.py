"""Times in the options of commands."""

import re
from datetime import UTC, datetime

import click

from strongroom.audit.cloudtrail import event_time
from strongroom.clock import SystemClock

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = r"([0-9]{1,9})([smhd])"


def seconds_of(text: str, option: str) -> float:
    """Return a duration such as ``36h`` or ``7d`` in seconds."""
    duration = re.fullmatch(_DURATION, text)
    if duration is None:
        raise click.BadParameter(f"`{text}` is no duration such as 36h or 7d", param_hint=option)
    return float(int(duration[1]) * _UNITS[duration[2]])


def event_time_of(text: str | None, option: str) -> str:
    """Return a time as records have it, from ISO 8601 or a duration before now; empty for none."""
    if text is None:
        return ""
    duration = re.fullmatch(_DURATION, text)
    try:
        if duration is not None:
            return event_time(SystemClock().now() - int(duration[1]) * _UNITS[duration[2]])
        moment = datetime.fromisoformat(text)
        return event_time((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f"`{text}` is neither a time nor a duration such as 15m", param_hint=option) from None
