"""Reads the keys of an account and Region through the KMS API, from AWS or from what speaks its protocol."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from strongroom.arns import known_arn
from strongroom.aws_clients import AwsError, AwsPlace, readable_refusals
from strongroom.key_exports.document import ExportedGrant, ExportedKey, KeyExport
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState

_ROTATABLE = (KeySpec.SYMMETRIC_DEFAULT, Origin.AWS_KMS)
_DEFAULT_PERIOD = 365


def read_keys(client: Any, place: AwsPlace, advance: Callable[[int, int], None]) -> KeyExport:  # noqa: ANN401 - botocore's
    """Return all KMS keys that ``client`` sees.

    ``advance`` is told of each key that was read, and how many there are. Where the caller may not read a part of a
    key, the key says so (``unread``). Raises AwsError where the keys cannot even be listed, the service fails, or
    botocore does not know all constraints of grants.
    """
    if "SourceArn" not in client.meta.service_model.shape_for("GrantConstraints").members:
        # It would leave the constraint out, and the grant would allow more.
        raise AwsError("botocore is too old to read grants; run: pip install --upgrade 'strongroom[aws]'")
    ids = [each["KeyId"] for page in _pages(client, place, "list_keys") for each in page["Keys"]]
    aliases: dict[str, list[str]] = defaultdict(list)
    for page in _pages(client, place, "list_aliases"):
        for alias in page["Aliases"]:
            aliases[alias.get("TargetKeyId", "")].append(alias["AliasName"])
    keys: list[ExportedKey] = []
    for key_id in ids:
        key = _KeyReader(client, place, key_id).read(sorted(aliases[key_id]))
        if key is not None:
            keys.append(key)
        advance(1, len(ids))
    if not keys:
        account = _account(client, place)
        return KeyExport(account=account, region=client.meta.region_name, keys=())
    first = known_arn(keys[0].arn)
    return KeyExport(account=first.account, region=first.region, keys=tuple(keys))


def _account(client: Any, place: AwsPlace) -> str:  # noqa: ANN401 - botocore's
    """Return the account of an account without keys, from the ARNs of its aliases; zeros if it has none."""
    for page in _pages(client, place, "list_aliases"):
        for alias in page["Aliases"]:
            return known_arn(alias["AliasArn"]).account
    return "0" * 12


def _pages(client: Any, place: AwsPlace, operation: str, **request: object) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    with readable_refusals(place):
        yield from client.get_paginator(operation).paginate(**request)


class _Primary(msgspec.Struct, rename="pascal", frozen=True):
    arn: str = ""


class _MultiRegion(msgspec.Struct, rename="pascal", frozen=True):
    multi_region_key_type: Literal["PRIMARY", "REPLICA", ""] = ""
    primary_key: _Primary = _Primary()


class _Metadata(msgspec.Struct, rename="pascal"):
    """The metadata of a key. Some emulators leave out what is the same for most keys."""

    arn: str
    key_state: KeyState
    key_manager: KeyManager = KeyManager.CUSTOMER
    key_spec: KeySpec | None = None
    customer_master_key_spec: KeySpec = KeySpec.SYMMETRIC_DEFAULT
    key_usage: KeyUsage = KeyUsage.ENCRYPT_DECRYPT
    origin: Origin = Origin.AWS_KMS
    description: str = ""
    multi_region_configuration: _MultiRegion = _MultiRegion()


class _KeyReader:
    """Reads one key, part by part."""

    def __init__(self, client: Any, place: AwsPlace, key_id: str) -> None:  # noqa: ANN401 - botocore's
        self._client = client
        self._place = place
        self._key_id = key_id
        self._unread: dict[str, str] = {}

    def read(self, aliases: list[str]) -> ExportedKey | None:
        """Return the key; None if it was deleted meanwhile."""
        try:
            with readable_refusals(self._place):
                metadata = self._client.describe_key(KeyId=self._key_id)["KeyMetadata"]
        except AwsError as error:
            if error.code == "NotFoundException":
                return None
            raise
        try:
            found = msgspec.convert(metadata, _Metadata)
        except msgspec.ValidationError as error:
            # A spec of a later API, for example.
            raise AwsError(f"{self._place.name} describes key {self._key_id} in an unknown way: {error}") from None
        spec = found.key_spec or found.customer_master_key_spec
        multi_region = found.multi_region_configuration
        return ExportedKey(
            arn=found.arn,
            key_manager=found.key_manager,
            key_spec=spec,
            key_usage=found.key_usage,
            origin=found.origin,
            key_state=found.key_state,
            description=found.description,
            multi_region_key_type=multi_region.multi_region_key_type,
            primary_arn=multi_region.primary_key.arn,
            policy=self._part("Policy", self._policy, None),
            tags=self._part("Tags", self._tags, {}),
            aliases=tuple(aliases),
            rotation_period_in_days=(
                self._part("Rotation", self._rotation, None) if (spec, found.origin) == _ROTATABLE else None
            ),
            grants=self._part("Grants", self._grants, ()),
            unread=self._unread,
        )

    def _part(self, name: str, read: Callable[[], Any], missing: Any) -> Any:  # noqa: ANN401 - any part
        try:
            return read()
        except AwsError as error:
            if not error.code:
                raise
            self._unread[name] = str(error)
            return missing

    def _policy(self) -> str:
        with readable_refusals(self._place):
            return str(self._client.get_key_policy(KeyId=self._key_id, PolicyName="default")["Policy"])

    def _tags(self) -> dict[str, str]:
        pages = _pages(self._client, self._place, "list_resource_tags", KeyId=self._key_id)
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}

    def _rotation(self) -> int | None:
        with readable_refusals(self._place):
            status = self._client.get_key_rotation_status(KeyId=self._key_id)
        return int(status.get("RotationPeriodInDays", _DEFAULT_PERIOD)) if status["KeyRotationEnabled"] else None

    def _grants(self) -> tuple[ExportedGrant, ...]:
        pages = _pages(self._client, self._place, "list_grants", KeyId=self._key_id)
        return tuple(_grant(each) for page in pages for each in page["Grants"])


def _grant(shown: dict[str, Any]) -> ExportedGrant:
    return ExportedGrant(
        grant_id=shown["GrantId"],
        name=shown.get("Name", ""),
        grantee_principal=shown.get("GranteePrincipal"),
        retiring_principal=shown.get("RetiringPrincipal"),
        grantee_service_principal=shown.get("GranteeServicePrincipal"),
        retiring_service_principal=shown.get("RetiringServicePrincipal"),
        operations=tuple(shown.get("Operations", ())),
        constraints=shown.get("Constraints") or None,
    )
