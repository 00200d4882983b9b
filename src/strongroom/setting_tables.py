"""The settings that are lists of tables: what a table has. They are part of ``settings``."""

from typing import Annotated

import msgspec
from msgspec import Meta

FileName = Annotated[str, Meta(min_length=1)]
Account = Annotated[str, Meta(pattern=r"\A[0-9]{12}\Z")]
TokenLabel = Annotated[str, Meta(min_length=1, max_length=64)]


class IdentityProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """An OpenID Connect issuer: its URL, a file with its public keys (JWKS), and the accepted audiences."""

    issuer: Annotated[str, Meta(pattern=r"\Ahttps?://[^\s?#]+\Z")]
    jwks: str
    audiences: Annotated[tuple[str, ...], Meta(min_length=1)] = ("sts.amazonaws.com",)

    @property
    def name(self) -> str:
        """The issuer without its scheme, as condition keys and provider ARNs have it."""
        return self.issuer.partition("://")[2]


class IdentityProviderKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A file with the public keys (JWKS) of an OpenID Connect issuer, for accounts that trust it through IAM."""

    issuer: Annotated[str, Meta(pattern=r"\Ahttps://[^\s?#]+\Z")]
    jwks: str


class XksProxyHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A host that may be called as an external key store proxy.

    ``address`` is HOST:PORT, by default the host itself and 443. ``ca`` is a file (PEM) with the authorities that its
    certificate may be of, by default those of the system. ``cert`` and ``key`` are files (PEM) with the certificate
    that this server shows to the host, and its private key.
    """

    host: Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9.-]{2,120}\Z")]
    address: str | None = None
    ca: FileName | None = None
    cert: FileName | None = None
    key: FileName | None = None


class RequestQuota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How many requests of a kind an account may make per second, in each Region; each account, unless one is named."""

    requests: str
    per_second: Annotated[float, Meta(gt=0, le=1e9)]
    account: Account | None = None


class CloudHsmCluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A hardware token that a custom key store of type AWS_CLOUDHSM can be in, under the id of a cluster.

    ``module`` is the PKCS #11 module, by its absolute path, and ``token`` the label or serial number of the token.
    ``trust_anchor`` is a file (PEM) with the certificate that CreateCustomKeyStore must be given; without it, any is
    taken. ``init_args`` is what the module is initialized with. ``account`` is the one that may use the cluster,
    without it every account may.
    """

    id: Annotated[str, Meta(pattern=r"\Acluster-[2-7a-zA-Z]{11,16}\Z")]
    module: FileName
    token: TokenLabel
    trust_anchor: FileName | None = None
    init_args: FileName | None = None
    account: Account | None = None
