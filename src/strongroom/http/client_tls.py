"""TLS of connections that this server makes, to hosts that a setting names with files of certificates."""

import ssl
from pathlib import Path

from strongroom.settings import SettingsError
from strongroom.whole_files import read_regular


def client_context(
    ca: str | None, cert: str | None, key: str | None, *, suites: str, approved_only: bool, whose: str
) -> ssl.SSLContext:
    """Return a context that verifies chain and name of a host, and shows it a certificate if one is set.

    ``ca`` is a file (PEM) of authorities, by default the system's; ``cert`` and ``key`` are files (PEM) of the
    certificate and its private key. ``suites`` are those of TLS 1.2, under OpenSSL's names. With ``approved_only``, no
    key exchange and no suite is offered that is not approved (docs/FIPS.md). Raises SettingsError, which names the file
    and ``whose`` it is.
    """

    def unusable(name: str, file: str | None, why: str) -> SettingsError:
        return SettingsError(f"`{file}`, the {name} of {whose}, {why}")

    try:
        authorities = None if ca is None else read_regular(Path(ca)).decode()
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        # First: an SSLError is an OSError.
        raise unusable("ca", ca, "is not a file of certificates (PEM)") from None
    except OSError as error:
        raise unusable("ca", ca, f"cannot be read: {error.strerror or error}") from None
    if cert is not None:
        try:
            # Without a password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(cert, key, password="")
        except ssl.SSLError:
            raise unusable("cert", cert, "has no certificate (PEM) for the private key") from None
        except OSError as error:
            raise unusable("cert or key", cert, f"cannot be read: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    if approved_only:
        _restrict(context)
    return context


def _restrict(context: ssl.SSLContext) -> None:
    """Take away what is not approved."""
    context.set_ecdh_curve("prime256v1")
    if any("CHACHA20" in suite["name"] for suite in context.get_ciphers()):
        # Python cannot take a suite of TLS 1.3 away, but OpenSSL's configuration can.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
