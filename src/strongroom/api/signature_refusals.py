"""What is wrong with a signature, in the words of AWS's services."""

import re
import time

from strongroom.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    KmsError,
    MissingAuthenticationTokenException,
)

TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


def incomplete(header: str, headers: dict[str, str]) -> KmsError:
    """Return the refusal of an Authorization header that is missing or malformed, or of a bad X-Amz-Date header."""
    if not header.startswith("AWS4-"):
        return MissingAuthenticationTokenException("Request is missing Authentication Token")
    missing = [
        f"Authorization header requires '{part}' parameter. "
        for part in ("Credential", "Signature", "SignedHeaders")
        if f"{part}=" not in header
    ]
    date = headers.get("x-amz-date")
    if date is None:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
    elif not missing and not TIMESTAMP.fullmatch(date):
        return bad_date(date)
    return IncompleteSignatureException("".join(missing) + f"Authorization={header}")


def bad_date(date: str) -> KmsError:
    """Return the refusal of a date in another format, or of one that is none."""
    return IncompleteSignatureException(
        f"Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def expired(timestamp: str, now: float, max_age: float) -> KmsError:
    """Return the refusal of a signature that is older than ``max_age`` seconds."""
    return InvalidSignatureException(
        f"Signature expired: {timestamp} is now earlier than {_basic(now - max_age)} "
        f"({_basic(now)} - {max_age / 60:g} min.)"
    )


def not_yet_current(timestamp: str, now: float, skew: float) -> KmsError:
    """Return the refusal of a signature from a time more than ``skew`` seconds ahead."""
    return InvalidSignatureException(
        f"Signature not yet current: {timestamp} is still later than {_basic(now + skew)} "
        f"({_basic(now)} + {skew / 60:g} min.)"
    )


def _basic(epoch: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(epoch))
