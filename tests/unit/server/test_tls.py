"""The TLS of a listener: what is renewed, and what is said of a certificate that expires."""

from pathlib import Path

import pytest

from strongroom.crypto.certificates import Validity
from strongroom.problems import Problems, Subject
from strongroom.server.tls import Tls, problem_of
from strongroom.settings import Settings, SettingsError
from tls_files import Pair, self_signed

NOW = 1_790_000_000.0
DAY = 86_400


def settings_of(pair: Pair) -> Settings:
    return Settings(tls_cert=str(pair.certificate), tls_key=str(pair.key))


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (-DAY, 15 * DAY, None),
        (-DAY, 14 * DAY, None),
        (-DAY, 14 * DAY - 1, "expires in 13 days"),
        (-DAY, 2 * DAY - 1, "expires in a day"),
        (-DAY, DAY - 1, "expires today or tomorrow"),
        (-DAY, 0, "has expired, so clients refuse it"),
        (1, DAY, "is not valid yet"),
    ],
)
def test_what_is_said_of_the_dates(begins: float, ends: float, said: str | None) -> None:
    problem = problem_of(Validity("cert.pem", NOW + begins, NOW + ends), NOW)
    if said is None:
        assert problem is None
    else:
        assert f"the TLS certificate `cert.pem` {said}" in (problem or "")


def test_a_new_certificate_ends_the_problem(tmp_path: Path) -> None:
    old, new = self_signed(tmp_path, "old", days=3), self_signed(tmp_path, "new")
    tls, problems = Tls(settings_of(old)), Problems()
    assert tls.validity is not None
    now = tls.validity.begins + 1
    tls.report(problems, now)
    assert [each.subject for each in problems.current()] == [Subject.CERTIFICATE]
    tls.renew(settings_of(new))
    tls.report(problems, now)
    assert not problems.current()


def test_a_certificate_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    old, new = self_signed(tmp_path, "old"), self_signed(tmp_path, "new")
    tls = Tls(settings_of(old))
    context, validity = tls.context, tls.validity
    new.key.write_text("")
    with pytest.raises(SettingsError, match=r"new\.key` is no private key"):
        tls.renew(settings_of(new))
    assert (tls.context, tls.validity) == (context, validity)


def test_without_tls_there_is_nothing_to_say() -> None:
    tls, problems = Tls(Settings()), Problems()
    tls.report(problems, NOW)
    assert (tls.context, tls.expires, problems.current()) == (None, None, [])
