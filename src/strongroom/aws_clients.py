"""Clients for the APIs of AWS, or of what speaks them: made by botocore, with errors that an operator can act on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from strongroom.service_urls import is_confidential

MISSING = "to call AWS, more must be installed: pip install 'strongroom[aws]'"
_CONNECT_TIMEOUT = 10.0
_READ_TIMEOUT = 60.0
_ATTEMPTS = 5


class AwsError(Exception):
    """A service cannot be called, or has refused a call. The message is one line that says which, and why.

    ``code`` is the code of a refusal, such as AccessDeniedException; empty if there was no answer.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class AwsPlace(msgspec.Struct, frozen=True):
    """Where calls go: a profile and a Region, each None for the client's own choice, and an endpoint, None for AWS's.

    ``ca_bundle`` is a file with the certificates that the endpoint's is checked against.
    """

    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None
    ca_bundle: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.endpoint or "AWS"


def client_of(service: str, place: AwsPlace, *, confidential: bool = False) -> Any:  # noqa: ANN401 - made from a description
    """Return botocore's client for a service at a place.

    With ``confidential``, plain HTTP is refused unless it stays on this machine. Raises AwsError.
    """
    try:
        import botocore.config  # noqa: PLC0415 - an extra that need not be there
        import botocore.session  # noqa: PLC0415
    except ModuleNotFoundError:
        raise AwsError(MISSING) from None
    if place.endpoint is not None:
        _require_url(place.endpoint, confidential=confidential)
    # On lower levels the library logs what it sends, plaintext included.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    config = botocore.config.Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        # A proxy would see what goes to this machine in plain HTTP.
        proxies={} if (place.endpoint or "").startswith("http:") else None,
        s3={"addressing_style": "path"} if place.endpoint else {},
    )
    with readable_refusals(place):
        session = botocore.session.Session(profile=place.profile)
        if (place.region or session.get_config_variable("region")) is None:
            raise AwsError(f"no Region is set for {place.name}: name one, or set AWS_DEFAULT_REGION")
        client = session.create_client(
            service,
            region_name=place.region,
            endpoint_url=place.endpoint,
            verify=place.ca_bundle,
            config=config,
        )
    # The endpoint may be one of the environment's or the profile's.
    _require_url(client.meta.endpoint_url, confidential=confidential)
    return client


@contextmanager
def readable_refusals(place: AwsPlace) -> Iterator[None]:
    """Turn what botocore raises into AwsError."""
    import botocore.exceptions  # noqa: PLC0415 - an extra, which the client has found

    try:
        yield
    except botocore.exceptions.ClientError as error:
        found = error.response.get("Error", {})
        code, message = found.get("Code", ""), found.get("Message", "")
        raise AwsError(f"{place.name} answers {code}: {message}".rstrip(": "), code) from None
    except botocore.exceptions.ProfileNotFound:
        raise AwsError(f"there is no AWS profile `{place.profile}`") from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
        raise AwsError(f"there are no AWS credentials for {place.name}: name a profile, or set AWS_PROFILE") from None
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as error:
        raise AwsError(f"{place.name} does not answer: {error}") from None
    except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
        raise AwsError(f"{place.name} cannot be called: {error}") from None


def _require_url(endpoint: str, *, confidential: bool) -> None:
    try:
        safe = is_confidential(endpoint)
    except ValueError:
        raise AwsError(f"`{endpoint}` is no URL of a service, such as https://kms.example.com") from None
    if confidential and not safe:
        raise AwsError(f"`{endpoint}` would carry plaintext unencrypted over the network; give an https URL")
