"""The seal ``kms``: the root key, encrypted by a KMS key of AWS, or of any service that speaks its protocol.

It calls Encrypt and Decrypt. The encryption context names the deployment and the use, so a policy can allow no more
than this: ``kms:EncryptionContext:strongroom-use``. Credentials come from where all AWS clients look for them: the
environment, profiles, web identity tokens, the instance.
"""

import logging
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from strongroom.crypto.seal import SealUnavailableError, UnsealError
from strongroom.service_urls import is_confidential

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_TIMEOUT, _READ_TIMEOUT, _ATTEMPTS = 2, 3, 2
_TRY_AGAIN = frozenset(
    {
        "ThrottlingException",
        "KMSInternalException",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "InternalFailure",
        "RequestLimitExceeded",
        "LimitExceededException",
    }
)
"""Errors of KMS that may go away (KMS API Reference, "Common Error Types"). All others are refusals."""
MISSING = "the seal needs the AWS client library: pip install 'strongroom[kms-seal]'"


class KmsKeeper:
    """Has a KMS key wrap a root key. Parameters: ``key-id`` (ARN or alias ARN), ``region``, and ``endpoint``."""

    def __init__(self, parameters: Mapping[str, str | int], deployment: str) -> None:
        self._parameters = parameters
        self.used_key = ""
        """The ARN of the KMS key that has wrapped."""
        self._deployment = deployment

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Return a root key encrypted; raises as ``RootKeyKeeper`` says."""
        answer = self._call("encrypt", binding, Plaintext=root_key)
        self.used_key = str(answer["KeyId"])
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return the root key; raises as ``RootKeyKeeper`` says."""
        answer = self._call("decrypt", binding, CiphertextBlob=wrapped)
        return bytes(answer["Plaintext"])

    def _call(self, name: str, binding: bytes, **members: object) -> dict[str, Any]:
        try:
            import botocore.exceptions  # noqa: PLC0415 - an extra that need not be there
        except ModuleNotFoundError:
            raise UnsealError(MISSING) from None
        # On lower levels the library logs what it sends: the root key.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        members["EncryptionContext"] = {
            "strongroom-deployment": self._deployment,
            "strongroom-use": "root-key",
            "strongroom-binding": b64encode(sha256(binding).digest()).decode(),
        }
        endpoint = self._endpoint()
        where = endpoint or "AWS"
        try:
            client = self._client(endpoint)
            call: Callable[..., dict[str, Any]] = getattr(client, name)
            return call(KeyId=str(self._parameters["key-id"]), **members)
        except botocore.exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            message = error.response.get("Error", {}).get("Message", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            text = f"{where} answers {code}: {message}".rstrip(": ")
            if code in _TRY_AGAIN or status >= 500:  # noqa: PLR2004
                raise SealUnavailableError(text) from None
            raise UnsealError(text) from None
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
            raise UnsealError("there are no AWS credentials for it: set AWS_PROFILE, or AWS_ACCESS_KEY_ID") from None
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as error:
            raise SealUnavailableError(f"{where} does not answer: {error}") from None
        except botocore.exceptions.BotoCoreError as error:
            raise UnsealError(f"{where} cannot be called: {error}") from None

    def _endpoint(self) -> str | None:
        """Return the URL of the service, None for that of AWS; raises UnsealError for one that must not be called."""
        if "endpoint" not in self._parameters:
            return None
        endpoint = str(self._parameters["endpoint"])
        _require_confidential(endpoint)
        return endpoint

    def _client(self, endpoint: str | None) -> Any:  # noqa: ANN401 - its methods are made from a description
        import botocore.config  # noqa: PLC0415 - an extra that need not be there
        import botocore.session  # noqa: PLC0415

        config = botocore.config.Config(
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            retries={"total_max_attempts": _ATTEMPTS},
            # A proxy would see what goes to this machine in plain HTTP.
            proxies={} if endpoint is not None and endpoint.startswith("http:") else None,
            # AWS_ENDPOINT_URL may be set for the command that adds the seal, and not for a start, or the other way.
            ignore_configured_endpoint_urls=True,  # type: ignore[call-arg] # its types do not have it
        )
        return botocore.session.get_session().create_client(
            "kms", region_name=str(self._parameters["region"]), endpoint_url=endpoint, config=config
        )


def _require_confidential(endpoint: str) -> None:
    """Refuse a URL over which others could read the root key; raises UnsealError."""
    try:
        safe = is_confidential(endpoint)
    except ValueError:
        raise UnsealError(f"{endpoint!a} is no URL of a service, such as https://kms.example.com") from None
    if not safe:
        raise UnsealError(f"{endpoint} would carry the root key as plaintext; give an https URL")
