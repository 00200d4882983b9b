"""Failed TLS handshakes: the alert that is left for the client, what is counted, and how often it is logged."""

import ssl
from pathlib import Path

import pytest

from strongroom.http import failed_handshakes
from strongroom.http.failed_handshakes import AlertingContext, FailedHandshakes, Reason
from tls_files import self_signed


@pytest.fixture
def failed() -> FailedHandshakes:
    return FailedHandshakes()


@pytest.fixture
def context(tmp_path: Path, failed: FailedHandshakes) -> AlertingContext:
    pair = self_signed(tmp_path, "server")
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.failed = failed
    return context


class Ends:
    """A server's end and a client's end of one connection, in memory."""

    def __init__(self, context: AlertingContext, client: ssl.SSLContext) -> None:
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self.to_server, self.to_client, server_side=True)
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname="localhost")

    def talk(self) -> None:
        """Have each end do what it can; raises what the client raises."""
        for _ in range(4):
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue


def client_context(*, trusting: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusting:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def seen(failed: FailedHandshakes) -> dict[str, int]:
    return {reason: n for reason, n in failed.counts.items() if n}


def test_a_handshake_that_succeeds_is_not_counted(context: AlertingContext, failed: FailedHandshakes) -> None:
    ends = Ends(context, client_context(trusting=True))
    ends.talk()
    assert ends.server.version() == "TLSv1.3"
    del ends
    assert seen(failed) == {}


def test_the_client_gets_the_alert_and_what_it_sends_after_it_is_dropped(
    context: AlertingContext, failed: FailedHandshakes
) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    ends = Ends(context, client_context(trusting=True))
    ends.talk()
    assert seen(failed) == {Reason.NO_CERTIFICATE: 1}
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        ends.client.read()
    ends.to_server.write(b"more" * 1000)
    with pytest.raises(ssl.SSLWantReadError):
        ends.server.do_handshake()
    assert ends.to_server.pending == 0
    del ends
    assert seen(failed) == {Reason.NO_CERTIFICATE: 1}, "counted once"


def test_a_refusal_by_the_client(context: AlertingContext, failed: FailedHandshakes) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        Ends(context, client_context(trusting=False)).talk()
    # The alert of the client is read by the server only if it goes on.
    ends = Ends(context, client_context(trusting=False))
    with pytest.raises(ssl.SSLCertVerificationError):
        ends.talk()
    with pytest.raises(ssl.SSLError):
        ends.server.do_handshake()
    assert failed.counts[Reason.REFUSED_BY_CLIENT] == 1


@pytest.mark.parametrize(("patience", "reason"), [(10.0, Reason.CLOSED), (0.0, Reason.TIMEOUT)])
def test_a_handshake_that_is_given_up(
    context: AlertingContext,
    failed: FailedHandshakes,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    reason: Reason,
) -> None:
    monkeypatch.setattr(failed_handshakes, "TLS_HANDSHAKE_TIMEOUT", patience)
    ends = Ends(context, client_context(trusting=True))
    del ends
    assert seen(failed) == {reason: 1}


def test_a_reason_is_logged_once_a_minute_with_how_many_there_were(
    failed: FailedHandshakes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr("strongroom.http.failed_handshakes.time.monotonic", lambda: now)
    for _ in range(5):
        failed.note(Reason.NOT_TLS, "http request")
    failed.note(Reason.CLOSED)
    now += 61
    failed.note(Reason.NOT_TLS, "http request")
    first, second = [record.getMessage() for record in caplog.records]
    assert first == "a TLS handshake failed: what the client sent is not TLS (OpenSSL says: http request)"
    assert second == f"{first}; so did 4 more since this was logged last"
