"""The TLS of a listener: its versions, suites and certificates, which can be renewed while it serves.

TLS 1.2 has only suites with forward secrecy and authenticated encryption (RFC 9325, 4.2); all suites of TLS 1.3 are
such. ``settings.TLS_SUITES`` lists them.
"""

import ssl

from strongroom.crypto.certificates import CertificateError, Validity, check_authorities, check_pair
from strongroom.http.failed_handshakes import AlertingContext, FailedHandshakes
from strongroom.problems import Problems, Subject
from strongroom.settings import APPROVED_TLS_SUITES, TLS_SUITES, Settings, SettingsError

_DAY = 86_400
_SOON = 14 * _DAY
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Tls:
    """What new connections get. ``context`` is None without TLS, and ``validity`` is that of the certificate."""

    def __init__(self, settings: Settings) -> None:
        """Read the certificates; raises SettingsError, which names the file that cannot be used."""
        self.context: ssl.SSLContext | None = None
        self.validity: Validity | None = None
        self.failed_handshakes = FailedHandshakes()
        """Those of all contexts, one after the other."""
        self.renew(settings)

    def renew(self, settings: Settings) -> None:
        """Read the certificates anew. If one cannot be used, raise SettingsError and change nothing."""
        if settings.tls_cert is None or settings.tls_key is None:
            return
        try:
            validity = check_pair(settings.tls_cert, settings.tls_key)
            if settings.tls_client_ca is not None:
                check_authorities(settings.tls_client_ca)
        except CertificateError as error:
            raise SettingsError(str(error)) from None
        context = _context(settings, settings.tls_cert, settings.tls_key)
        context.failed = self.failed_handshakes
        self.context, self.validity = context, validity

    @property
    def expires(self) -> float | None:
        """When the certificate expires, in epoch seconds; None without TLS."""
        return None if self.validity is None else self.validity.ends

    def report(self, problems: Problems, now: float) -> None:
        """Tell of a certificate that is not valid ``now``, or will not be in 14 days."""
        problem = None if self.validity is None else problem_of(self.validity, now)
        if problem is None:
            problems.resolve(Subject.CERTIFICATE)
        else:
            problems.report(Subject.CERTIFICATE, problem)


def problem_of(validity: Validity, now: float) -> str | None:
    """Return what is wrong with the dates of a certificate, in a sentence that changes once a day; None if nothing is.

    A problem does not keep a server from starting: clients may be told not to look at the date.
    """
    remedy = "put a new one in its place and send SIGHUP"
    if validity.begins > now:
        return f"the TLS certificate `{validity.file}` is not valid yet; check the clock, or {remedy}"
    if validity.ends <= now:
        return f"the TLS certificate `{validity.file}` has expired, so clients refuse it; {remedy}"
    if validity.ends - now < _SOON:
        days = int((validity.ends - now) // _DAY)
        left = {0: "today or tomorrow", 1: "in a day"}.get(days, f"in {days} days")
        return f"the TLS certificate `{validity.file}` expires {left}; {remedy}"
    return None


def _context(settings: Settings, certificate: str, key: str) -> AlertingContext:
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    # The suites of TLS 1.3 are all on, and are not in this list.
    context.set_ciphers(":".join(settings.tls_ciphers or (APPROVED_TLS_SUITES if settings.fips else TLS_SUITES)))
    if settings.fips:
        _allow_approved_only(context, settings)
    try:
        # Without a password, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password="")
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(
            f"the TLS certificate `{certificate}` with the key `{key}` cannot be used: "
            f"OpenSSL says: {(reason or 'nothing').replace('_', ' ').lower()}"
        ) from None
    return context


def _allow_approved_only(context: ssl.SSLContext, settings: Settings) -> None:
    """Leave out key exchange and suites that are not approved; raises SettingsError if nothing is left.

    Python cannot take a suite of TLS 1.3 away, but OpenSSL's configuration can. Without that, TLS 1.3 is off.
    """
    context.set_ecdh_curve("prime256v1")
    if any("CHACHA20" in suite["name"] for suite in context.get_ciphers()):
        if settings.tls_min_version == "1.3":
            raise SettingsError(
                "with `fips`, `tls-min-version` can be 1.3 only if the configuration of OpenSSL leaves out ChaCha20: "
                "set Ciphersuites there, as docs/FIPS.md says"
            )
        context.maximum_version = ssl.TLSVersion.TLSv1_2
