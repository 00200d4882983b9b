"""The variables of AWS clients: those of the endpoints, and those that would be preferred to an address and a key.

The names are those of the AWS SDKs and Tools Reference Guide.
"""

from typing import Final

SERVICES: Final = ("KMS", "IAM", "STS")
"""The services that a server has, as they are named in ``AWS_ENDPOINT_URL_*``."""

CLEARED: Final = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_ACCOUNT_ID",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_DEFAULT_OUTPUT",
)
"""What would be preferred to the settings, or refuses them: botocore takes no endpoint together with FIPS."""

PROXY_EXCEPTIONS: Final = ("no_proxy", "NO_PROXY")
"""Clients read only the first where both are set, so it has to say what the second says."""
