"""Sets the variables of AWS clients for a while."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from strongroom.aws_variables import CLEARED, PROXY_EXCEPTIONS, SERVICES


def variables_of(url: str, region: str, access_key_id: str, secret_access_key: str) -> dict[str, str]:
    """Return the variables that point the AWS clients of a process at a server.

    Only KMS, IAM and STS are asked there: another emulator may have the other services.
    """
    return {
        **{f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES},
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # The user's own files may name roles and endpoints.
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def client_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables, and remove those that AWS clients would prefer; afterwards all are as they were.

    boto3's default session, which remembers the access key that it has found first, is made anew, too.
    """
    names = {*variables, *CLEARED, *PROXY_EXCEPTIONS}
    before = {name: os.environ.get(name) for name in names}
    session = _set_default_session(None)
    try:
        for name in CLEARED:
            os.environ.pop(name, None)
        os.environ.update(variables)
        _except_from_proxies(variables["AWS_ENDPOINT_URL_KMS"])
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _set_default_session(session)


def _except_from_proxies(url: str) -> None:
    host = urlsplit(url).hostname or ""
    others = next((os.environ[name] for name in PROXY_EXCEPTIONS if os.environ.get(name)), "")
    for name in PROXY_EXCEPTIONS:
        os.environ[name] = f"{host},{others}" if others else host


def _set_default_session(session: object) -> object:
    """Set the default session of boto3, if that is loaded; return the one before."""
    boto3 = sys.modules.get("boto3")
    if boto3 is None:
        return None
    before: object = boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION = session  # type: ignore[attr-defined] # a module
    return before
