"""Accounts of a development server."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from strongroom.testing.environment import client_environment, variables_of


@dataclass(frozen=True)
class Account:
    """An account, with its root access key and the URL and first Region of its server.

    It has nothing in common with other accounts: no keys, no aliases, no users.
    """

    account: str
    """Its number, 12 digits."""
    access_key_id: str
    secret_access_key: str = field(repr=False)
    url: str
    region: str

    def environment(self) -> dict[str, str]:
        """Return the variables that have AWS clients act as the account's root user, also those of other processes.

        Variables such as AWS_PROFILE and AWS_SESSION_TOKEN must not be set beside them: ``use`` sees to that.
        """
        return variables_of(self.url, self.region, self.access_key_id, self.secret_access_key)

    @contextmanager
    def use(self) -> Iterator["Account"]:
        """Have the AWS clients of this process, and of those that it starts, act as the account's root user."""
        with client_environment(self.environment()):
            yield self

    def client(self, service: str = "kms", *, region: str | None = None, **options: Any) -> Any:  # noqa: ANN401
        """Return a new client of boto3 for ``kms``, ``iam`` or ``sts``, that acts as the account's root user.

        ``region`` is by default the first one of the server. ``options`` are those of ``boto3.client``; access keys of
        a user or a session of the account can be among them. The client goes through no proxy, unless the options have
        one, and heeds no profile or file of the user's. Raises ModuleNotFoundError without boto3.
        """
        defaults: dict[str, Any] = {
            "region_name": region or self.region,
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
        }
        return _new_client()(service, **defaults | options)


@functools.cache
def _new_client() -> Callable[..., Any]:
    """Return what makes clients. One session for all of them has read the models of the services once."""
    try:
        # They are needed by no other part of the kit.
        import botocore.session  # noqa: PLC0415
        from boto3.session import Session  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"a client needs boto3: pip install 'strongroom[testing]' ({error})", name=error.name
        ) from None
    # For each, by what name a file and the environment have it: neither has these. Then its value.
    own = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
        "use_fips_endpoint": (None, None, False, None),
        "use_dualstack_endpoint": (None, None, False, None),
    }
    make: Callable[..., Any] = Session(botocore_session=botocore.session.Session(session_vars=own)).client
    direct = Config(proxies={})

    def new_client(service: str, *, config: Config | None = None, **options: Any) -> Any:  # noqa: ANN401
        return make(service, config=direct if config is None else direct.merge(config), **options)

    return new_client
