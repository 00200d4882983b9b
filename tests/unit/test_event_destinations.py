"""Where events are sent: what the setting can be, and what is said of a mistake in it."""

from pathlib import Path

import pytest

from strongroom.assembly.events import require_event_destinations
from strongroom.event_destinations import EventDestination
from strongroom.settings import Settings, SettingsError
from strongroom.settings_sources import load

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def loaded(lines: str) -> Settings:
    settings = load(f"[[events]]\n{lines}\n", {}, {})
    require_event_destinations(settings)
    return settings


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('to = "ftp://example.com"', "must be file:/PATH, https://HOST/PATH or command:/PATH"),
        ('to = "http://example.com/hidden"', "must be file:/PATH, https://HOST/PATH or command:/PATH"),
        ('to = "file:"', "the path must be absolute, as in file:/PATH"),
        ('to = "command:relative"', "the path must be absolute, as in command:/PATH"),
        ('to = "https://example.com/hidden"', "needs `secret-file`"),
        ('to = "https://example.com:99999/hidden"', "must be https://HOST/PATH"),
        ('to = "https://example.com/hidden line"', "must be https://HOST/PATH"),
        ('to = "https://user:hidden@example.com/"\nsecret-file = "x"', "neither a user name nor `#`"),
        ('to = "https://example.com/"\nsecret-file = "x"\ncert = "x"', "needs both `cert` and `key`, or neither"),
        ('to = "file:/x"\nsecret-file = "x"', "for webhooks (https://) alone"),
        ('to = "file:/x"\narguments = ["x"]', "`arguments` are for commands alone"),
        ('to = "file:/x"\ndetail-types = ["Rotation"]', "`Rotation` is no detail type; they are KMS CMK Rotation"),
        ('to = "file:/x"\ntime-limit = 0', "time-limit"),
        ('to = "file:/x"\nsecret = "hidden"', "secret"),
        ('to = "file:/x"\n[[events]]\nto = "file:/x"', "`events` has `file:/x` twice"),
        ('to = "command:/missing"', "`command:/missing` in `events` cannot be run"),
        ('to = "https://example.com/hidden"\nsecret-file = "/missing"', "`/missing` cannot be read"),
        ('to = "https://example.com/hidden"\nsecret-file = "/dev/null"', "`/dev/null` cannot be read"),
    ],
)
def test_a_mistake_is_named_without_what_may_be_a_secret(lines: str, told: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        loaded(lines)
    assert told in str(refusal.value)
    assert "hidden" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_can_be_set(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    lines = f'to = "https://example.com:8443/path?a=b"\nsecret-file = "{secret}"\n[[events]]\nto = "command:/bin/cat"'
    hook, command = loaded(lines).events
    assert hook.url == ("example.com", 8443, "/path?a=b")
    assert hook.shown.startswith("https://example.com:8443/…")
    assert (command.path, command.shown) == ("/bin/cat", "command:/bin/cat")


@pytest.mark.parametrize(
    "rest",
    ["?token=hidden", "/hook/hidden@x", "/T0/a@b/hidden", "/hidden", "#hidden", "/a?hidden", "/?hidden", "/@b#hidden"],
)
@pytest.mark.parametrize("host", ["h.example", "h.example:8443", "[::1]:99", "user:hidden@h.example"])
def test_only_host_and_port_of_a_webhook_are_shown(host: str, rest: str) -> None:
    shown = EventDestination(f"https://{host}{rest}").shown
    assert "hidden" not in shown
    assert shown.startswith(f"https://{host.rpartition('@')[2]}/…")


@pytest.mark.parametrize("to", ["https://h:hidden", "https://[hidden", "https://h:99999/hidden", "https://hidden@"])
def test_of_an_address_that_is_none_nothing_is_shown(to: str) -> None:
    assert EventDestination(to).shown.startswith("https:///…")


def test_a_webhook_without_a_path_is_shown_whole() -> None:
    assert EventDestination("https://h.example:8443").shown == "https://h.example:8443"
    assert EventDestination("https://h.example/").shown == "https://h.example/"


def test_destinations_on_one_host_are_shown_apart() -> None:
    first, second = EventDestination("https://example.com/a"), EventDestination("https://example.com/b")
    assert first.shown != second.shown
    assert EventDestination("https://[::1]:99").url == ("::1", 99, "/")


def test_the_days_of_notices_can_be_a_list_in_a_variable() -> None:
    assert load("", {"STRONGROOM_EVENTS_NOTICE_DAYS": "14,2"}, {}).events_notice_days == (14, 2)
