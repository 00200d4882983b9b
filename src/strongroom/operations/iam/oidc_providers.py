"""OpenID Connect providers: the issuers whose web identity tokens one account accepts.

Making a provider asks its issuer nothing. The issuer's keys are set by an operator (``strongroom identity-provider``),
or follow from the settings. Thumbprints are kept as data: where keys are fetched, the certificates that the system
trusts decide.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from strongroom.arns import parse_arn
from strongroom.errors import (
    EntityAlreadyExistsException,
    InvalidInputException,
    LimitExceededException,
    NoSuchEntityException,
    ValidationException,
)
from strongroom.iam.entities import EntityKind, OpenIdConnectProvider
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import arn_of, merged_tags, new_id
from strongroom.operations.iam.shapes import Arn, PagedRequest, Tag, TagKeyList, TagList, show_tags
from strongroom.operations.iam.tags import ListTagsResponse, tag_page, without_keys
from strongroom.operations.shapes import Empty, Request, Response, at_most
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

MAX_PROVIDERS = 100
MAX_CLIENT_IDS = 100
MAX_THUMBPRINTS = 5
_LISTED = at_most(1000)
_SCHEME = "https://"
_BAD_URL = "Invalid Open ID Connect Provider URL"
# A host, perhaps with a port, and a path. There is no query, fragment or user name, as the API Reference has it.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[!-\"$->@-~]*)?")
_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}")

ProviderUrl = Annotated[str, Meta(min_length=1, max_length=255)]
ClientId = Annotated[str, Meta(min_length=1, max_length=255)]
Thumbprint = Annotated[str, Meta(min_length=40, max_length=40)]


class CreateOpenIDConnectProviderRequest(Request):
    """The request of CreateOpenIDConnectProvider."""

    url: ProviderUrl
    client_id_list: Annotated[list[ClientId], _LISTED] | None = msgspec.field(default=None, name="ClientIDList")
    thumbprint_list: Annotated[list[Thumbprint], _LISTED] | None = None
    tags: TagList | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class CreateOpenIDConnectProviderResponse(Response):
    """The response of CreateOpenIDConnectProvider."""

    open_id_connect_provider_arn: str = msgspec.field(name="OpenIDConnectProviderArn")
    tags: list[Tag] | None = None


class ProviderRequest(Request):
    """The request of actions on one provider that need only its ARN."""

    provider_arn: Arn = msgspec.field(name="OpenIDConnectProviderArn")


class GetOpenIDConnectProviderResponse(Response, kw_only=True):
    """The response of GetOpenIDConnectProvider; the URL is without its scheme, as on AWS."""

    url: str
    client_id_list: list[str] = msgspec.field(name="ClientIDList")
    thumbprint_list: list[str]
    create_date: float
    tags: list[Tag] | None = None


class ListOpenIDConnectProvidersRequest(Request):
    """The request of ListOpenIDConnectProviders, which has no parameters."""


class ProviderEntry(msgspec.Struct, rename="pascal", frozen=True):
    """A provider in a list."""

    arn: str


class ListOpenIDConnectProvidersResponse(Response):
    """The response of ListOpenIDConnectProviders."""

    provider_list: list[ProviderEntry] = msgspec.field(name="OpenIDConnectProviderList")


class UpdateThumbprintRequest(Request):
    """The request of UpdateOpenIDConnectProviderThumbprint."""

    thumbprint_list: Annotated[list[Thumbprint], _LISTED]
    provider_arn: Arn = msgspec.field(name="OpenIDConnectProviderArn")


class ClientIdRequest(Request):
    """The request of AddClientIDToOpenIDConnectProvider and RemoveClientIDFromOpenIDConnectProvider."""

    client_id: ClientId = msgspec.field(name="ClientID")
    provider_arn: Arn = msgspec.field(name="OpenIDConnectProviderArn")


class TagProviderRequest(Request):
    """The request of TagOpenIDConnectProvider."""

    tags: TagList
    provider_arn: Arn = msgspec.field(name="OpenIDConnectProviderArn")

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class UntagProviderRequest(Request):
    """The request of UntagOpenIDConnectProvider."""

    tag_keys: TagKeyList
    provider_arn: Arn = msgspec.field(name="OpenIDConnectProviderArn")

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tag_keys=self.tag_keys)


class ListProviderTagsRequest(PagedRequest, kw_only=True):
    """The request of ListOpenIDConnectProviderTags."""

    provider_arn: Arn = msgspec.field(name="OpenIDConnectProviderArn")


class NamesProvider(Protocol):
    """A request with the ARN of a provider."""

    @property
    def provider_arn(self) -> str:
        """The provider's ARN."""
        ...


def on_provider(action: str) -> Callable[[Context, NamesProvider], Sequence[Target]]:
    """Return, for an action, the locator of requests that name a provider by its ARN."""

    def locate(context: Context, request: NamesProvider) -> Sequence[Target]:
        with context.read() as reader:
            provider = _provider(reader, request.provider_arn, context.caller.account)
        return (Target(action, request.provider_arn, tags=() if provider is None else provider.tags),)

    return locate


def locate_create_provider(context: Context, request: CreateOpenIDConnectProviderRequest) -> Sequence[Target]:
    """Return the targets: the provider to be made. Tags need permission for a second action."""
    arn = arn_of(context, EntityKind.OIDC_PROVIDER, request.url.removeprefix(_SCHEME))
    create = Target("iam:CreateOpenIDConnectProvider", arn)
    return (create, Target("iam:TagOpenIDConnectProvider", arn)) if request.tags else (create,)


def create_open_id_connect_provider(
    context: Context, request: CreateOpenIDConnectProviderRequest
) -> CreateOpenIDConnectProviderResponse:
    """Make a provider: roles of the account can trust its tokens as soon as its keys are set."""
    name = accepted_name(request.url)
    unique_id = new_id(EntityKind.OIDC_PROVIDER, context.backends.entropy)
    account = context.caller.account
    provider = OpenIdConnectProvider(
        account=account,
        name=name,
        unique_id=unique_id,
        created_at=context.now,
        partition=context.caller.partition,
        tags=merged_tags((), request.tags or ()),
        client_ids=_accepted_client_ids(request.client_id_list or ()),
        thumbprints=_accepted_thumbprints(request.thumbprint_list or ()),
    )

    def add(transaction: Transaction) -> None:
        if transaction.entity(OpenIdConnectProvider, account, name) is not None:
            raise EntityAlreadyExistsException(f"Provider with url {request.url} already exists.")
        if len(transaction.entities(OpenIdConnectProvider, account, "/", "", MAX_PROVIDERS)) == MAX_PROVIDERS:
            raise LimitExceededException(f"Cannot exceed quota for OpenIdConnectProvidersPerAccount: {MAX_PROVIDERS}")
        transaction.put_entity(provider)

    context.backends.store.write(add, AccountScope(account))
    return CreateOpenIDConnectProviderResponse(open_id_connect_provider_arn=provider.arn, tags=show_tags(provider))


def get_open_id_connect_provider(context: Context, request: ProviderRequest) -> GetOpenIDConnectProviderResponse:
    """Return a provider."""
    with context.read() as reader:
        provider = require_provider(reader, request.provider_arn, context.caller.account)
    return GetOpenIDConnectProviderResponse(
        url=provider.name,
        client_id_list=list(provider.client_ids),
        thumbprint_list=list(provider.thumbprints),
        create_date=provider.created_at,
        tags=show_tags(provider),
    )


def list_open_id_connect_providers(
    context: Context, _request: ListOpenIDConnectProvidersRequest
) -> ListOpenIDConnectProvidersResponse:
    """List the ARNs of the account's providers."""
    with context.read() as reader:
        providers = reader.entities(OpenIdConnectProvider, context.caller.account, "/", "", MAX_PROVIDERS)
    return ListOpenIDConnectProvidersResponse(provider_list=[ProviderEntry(each.arn) for each in providers])


def delete_open_id_connect_provider(context: Context, request: ProviderRequest) -> Empty:
    """Delete a provider with its keys. As on AWS, it is no error if there is none."""
    _require_arn(request.provider_arn)

    def remove(transaction: Transaction) -> None:
        provider = _provider(transaction, request.provider_arn, context.caller.account)
        if provider is not None:
            transaction.remove_entity(provider)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def update_thumbprint(context: Context, request: UpdateThumbprintRequest) -> Empty:
    """Replace a provider's thumbprints."""
    if not request.thumbprint_list:
        raise InvalidInputException("Thumbprint list must not be empty.")
    thumbprints = _accepted_thumbprints(request.thumbprint_list)
    _change(context, request, lambda provider: replace(provider, thumbprints=thumbprints))
    return Empty()


def add_client_id(context: Context, request: ClientIdRequest) -> Empty:
    """Accept one more audience; nothing changes if it is accepted already."""
    _change(
        context,
        request,
        lambda provider: replace(provider, client_ids=_accepted_client_ids((*provider.client_ids, request.client_id))),
    )
    return Empty()


def remove_client_id(context: Context, request: ClientIdRequest) -> Empty:
    """Accept an audience no longer; nothing changes if it is not accepted."""
    _change(
        context,
        request,
        lambda provider: replace(
            provider, client_ids=tuple(each for each in provider.client_ids if each != request.client_id)
        ),
    )
    return Empty()


def tag_provider(context: Context, request: TagProviderRequest) -> Empty:
    """Tag a provider."""
    _change(context, request, lambda provider: replace(provider, tags=merged_tags(provider.tags, request.tags)))
    return Empty()


def untag_provider(context: Context, request: UntagProviderRequest) -> Empty:
    """Remove tags from a provider."""
    _change(context, request, lambda provider: replace(provider, tags=without_keys(provider.tags, request.tag_keys)))
    return Empty()


def list_provider_tags(context: Context, request: ListProviderTagsRequest) -> ListTagsResponse:
    """List the tags of a provider."""
    with context.read() as reader:
        provider = require_provider(reader, request.provider_arn, context.caller.account)
    return tag_page(provider.arn, request, provider.tags)


def accepted_name(url: str) -> str:
    """Return the name of a provider, its URL without the scheme.

    Raises ValidationException for what is no URL of an issuer, InvalidInputException for a scheme other than https.
    """
    if url.startswith("http://"):
        raise InvalidInputException(f"{_BAD_URL}. The URL must begin with {_SCHEME}.")
    name = url.removeprefix(_SCHEME)
    if not url.startswith(_SCHEME) or not _NAME.fullmatch(name):
        raise ValidationException(_BAD_URL)
    return name


def require_provider(reader: IdentityReader, arn: str, account: str) -> OpenIdConnectProvider:
    """Return a provider of an account by its ARN; raises NoSuchEntityException, InvalidInputException."""
    _require_arn(arn)
    provider = _provider(reader, arn, account)
    if provider is None:
        raise NoSuchEntityException(f"OpenIDConnect Provider not found for arn {arn}")
    return provider


def _provider(reader: IdentityReader, arn: str, account: str) -> OpenIdConnectProvider | None:
    named = parse_arn(arn)
    provider = None if named is None else reader.entity(OpenIdConnectProvider, account, named.resource_id)
    return provider if provider is not None and provider.arn == arn else None


def _require_arn(text: str) -> None:
    arn = parse_arn(text)
    if arn is None or arn.service != "iam" or arn.resource_type != EntityKind.OIDC_PROVIDER:
        raise InvalidInputException(f"{text} is not the ARN of an OpenID Connect provider.")


def _change(
    context: Context, request: NamesProvider, transition: Callable[[OpenIdConnectProvider], OpenIdConnectProvider]
) -> None:
    """Change a provider durably; ``transition`` may be run again, so it must have no effect but its result."""

    def change(transaction: Transaction) -> None:
        before = require_provider(transaction, request.provider_arn, context.caller.account)
        after = transition(before)
        if after != before:
            transaction.put_entity(after, before)

    context.backends.store.write(change, AccountScope(context.caller.account))


def _accepted_client_ids(client_ids: Sequence[str]) -> tuple[str, ...]:
    """Return client ids, each once; raises LimitExceededException for too many."""
    kept = tuple(dict.fromkeys(client_ids))
    if len(kept) > MAX_CLIENT_IDS:
        raise LimitExceededException(f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {MAX_CLIENT_IDS}")
    return kept


def _accepted_thumbprints(thumbprints: Sequence[str]) -> tuple[str, ...]:
    """Return thumbprints, which are SHA-1 hashes in hexadecimal; raises InvalidInputException."""
    if len(thumbprints) > MAX_THUMBPRINTS:
        raise InvalidInputException(f"Thumbprint list must contain fewer than {MAX_THUMBPRINTS} entries.")
    for each in thumbprints:
        if not _THUMBPRINT.fullmatch(each):
            raise InvalidInputException(f"Thumbprint {each} must have 40 hexadecimal digits.")
    return tuple(thumbprints)
