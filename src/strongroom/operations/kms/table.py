"""The table: one row per action of the service.

``uses`` are cryptographic operations, ``reads`` look at one key, ``changes`` alter one key, ``shares`` alter what
related multi-Region keys share; the other rows have no key or more than one, and are written out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Concatenate, TypeVar

from strongroom.keys.arns import KeyIdForms
from strongroom.keys.states import StateRule
from strongroom.operations.context import Context
from strongroom.operations.kms import (
    aliases,
    create_key,
    custom_key_store_settings,
    custom_key_stores,
    data_key_pairs,
    data_keys,
    deletion,
    encapsulation,
    encryption,
    grant_lists,
    grant_shapes,
    grants,
    import_key_material,
    key_agreement,
    key_last_usage,
    key_policy,
    keys,
    macs,
    multi_region,
    public_keys,
    rotation,
    signatures,
    tags,
    used_material,
)
from strongroom.operations.kms.targets import by_key_id
from strongroom.operations.lanes import Placement
from strongroom.operations.operation import Echoes, Elements, Materials, Operation, key_id_element, no_elements
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Target, no_resource

R = TypeVar("R", bound=Request)
Run = Callable[Concatenate[Context, R, ...], Response]
"""An operation: it takes the context, the request of its row, and a key for each target that has one."""


def _uses(  # noqa: PLR0913 - one row
    name: str,
    request: type[R],
    run: Run[R],
    placement: Placement = Placement.INLINE,
    *,
    locate: Callable[[Context, R], Sequence[Target]] | None = None,
    materials: Materials | None = None,
    public_key: bool = False,
) -> Operation:
    return Operation(
        name,
        request,
        run,
        locate=locate or by_key_id(f"kms:{name}", KeyIdForms.ANY),
        rule=StateRule.USE,
        placement=placement,
        materials=materials,
        cross_account=True,
        public_key=public_key,
    )


def _reads(
    name: str,
    request: type[R],
    run: Run[R],
    forms: KeyIdForms = KeyIdForms.KEY_ONLY,
    *,
    cross_account: bool = False,
) -> Operation:
    where = by_key_id(f"kms:{name}", forms)
    return Operation(name, request, run, locate=where, rule=StateRule.READ, cross_account=cross_account)


def _changes(
    name: str,
    request: type[R],
    run: Run[R],
    rule: StateRule,
    elements: Elements = key_id_element,
    echoes: Echoes | None = None,
) -> Operation:
    where = by_key_id(f"kms:{name}", KeyIdForms.KEY_ONLY)
    return _writes(name, request, run, locate=where, rule=rule, elements=elements, echoes=echoes)


def _shares(name: str, request: type[R], run: Run[R], rule: StateRule) -> Operation:
    return _changes(name, request, run, rule, echoes=multi_region.relatives_synchronized)


_writes = partial(Operation, placement=Placement.WRITING, read_only=False)


def _writes_to_stores(name: str, request: type[R], run: Run[R]) -> Operation:
    return _writes(name, request, run, locate=no_resource(f"kms:{name}"))


def _connects_stores(name: str, request: type[R], run: Run[R]) -> Operation:
    where = no_resource(f"kms:{name}")
    return Operation(name, request, run, locate=where, placement=Placement.KEY_STORE, read_only=False)


_ROWS = (
    # --- cryptography
    _uses(
        "Encrypt",
        encryption.EncryptRequest,
        encryption.encrypt,
        Placement.BY_ALGORITHM,
        materials=used_material.current_material,
    ),
    _uses(
        "Decrypt",
        encryption.DecryptRequest,
        encryption.decrypt,
        Placement.BY_ALGORITHM,
        locate=encryption.locate_decrypt,
        materials=used_material.decrypting_material,
    ),
    _uses(
        "ReEncrypt",
        encryption.ReEncryptRequest,
        encryption.re_encrypt,
        Placement.BY_ALGORITHM,
        locate=encryption.locate_re_encrypt,
        materials=used_material.re_encrypt_materials,
    ),
    _uses(
        "GenerateDataKey",
        data_keys.GenerateDataKeyRequest,
        data_keys.generate_data_key,
        Placement.BY_ALGORITHM,
        materials=used_material.encrypting_material,
    ),
    _uses(
        "GenerateDataKeyWithoutPlaintext",
        data_keys.GenerateDataKeyWithoutPlaintextRequest,
        data_keys.generate_data_key_without_plaintext,
        materials=used_material.encrypting_material,
    ),
    _uses(
        "GenerateDataKeyPair",
        data_key_pairs.GenerateDataKeyPairRequest,
        data_key_pairs.generate_data_key_pair,
        Placement.KEY_PAIR,
        materials=used_material.encrypting_material,
    ),
    _uses(
        "GenerateDataKeyPairWithoutPlaintext",
        data_key_pairs.GenerateDataKeyPairWithoutPlaintextRequest,
        data_key_pairs.generate_data_key_pair_without_plaintext,
        Placement.KEY_PAIR,
        materials=used_material.encrypting_material,
    ),
    _uses("Sign", signatures.SignRequest, signatures.sign, Placement.SIGNATURE),
    _uses("Verify", signatures.VerifyRequest, signatures.verify, Placement.SIGNATURE, public_key=True),
    _uses("GenerateMac", macs.GenerateMacRequest, macs.generate_mac),
    _uses("VerifyMac", macs.VerifyMacRequest, macs.verify_mac),
    _uses(
        "DeriveSharedSecret",
        key_agreement.DeriveSharedSecretRequest,
        key_agreement.derive_shared_secret,
        Placement.COMPUTING,
    ),
    _uses("Encapsulate", encapsulation.EncapsulateRequest, encapsulation.encapsulate),
    _uses("Decapsulate", encapsulation.DecapsulateRequest, encapsulation.decapsulate),
    Operation(
        "GetPublicKey",
        public_keys.GetPublicKeyRequest,
        public_keys.get_public_key,
        locate=by_key_id("kms:GetPublicKey", KeyIdForms.ANY),
        rule=StateRule.PUBLISH,
        # The request does not show the size of the key; the largest take milliseconds to load.
        placement=Placement.COMPUTING,
        cross_account=True,
        public_key=True,
    ),
    Operation(
        "GenerateRandom",
        data_keys.GenerateRandomRequest,
        data_keys.generate_random,
        locate=no_resource("kms:GenerateRandom"),
        placement=Placement.BY_ALGORITHM,
        key_store=lambda request: (request.custom_key_store_id, False) if request.custom_key_store_id else None,
    ),
    # --- keys
    Operation(
        "CreateKey",
        create_key.CreateKeyRequest,
        create_key.create_key,
        placement=Placement.NEW_KEY,
        read_only=False,
        locate=create_key.locate_create_key,
        elements=create_key.create_key_elements,
        makes=lambda response: response.key_metadata.arn,
        key_store=lambda request: (request.custom_key_store_id, request.xks_key_id is not None),
    ),
    _reads("DescribeKey", keys.DescribeKeyRequest, keys.describe_key, KeyIdForms.ANY, cross_account=True),
    Operation(
        "GetKeyLastUsage",
        keys.KeyRequest,
        key_last_usage.get_key_last_usage,
        locate=by_key_id("kms:GetKeyLastUsage", KeyIdForms.KEY_ONLY),
        rule=StateRule.READ,
        placement=Placement.READING,
    ),
    Operation(
        "ListKeys",
        keys.ListKeysRequest,
        keys.list_keys,
        locate=no_resource("kms:ListKeys"),
        placement=Placement.READING,
    ),
    _changes("EnableKey", keys.KeyRequest, keys.enable_key, StateRule.SWITCH),
    _changes("DisableKey", keys.KeyRequest, keys.disable_key, StateRule.SWITCH),
    _changes("UpdateKeyDescription", keys.UpdateKeyDescriptionRequest, keys.update_key_description, StateRule.ANNOTATE),
    _changes(
        "ScheduleKeyDeletion",
        deletion.ScheduleKeyDeletionRequest,
        deletion.schedule_key_deletion,
        StateRule.SCHEDULE_DELETION,
        deletion.schedule_key_deletion_elements,
    ),
    _changes("CancelKeyDeletion", keys.KeyRequest, deletion.cancel_key_deletion, StateRule.CANCEL_DELETION),
    # --- aliases
    _writes(
        "CreateAlias",
        aliases.AliasRequest,
        aliases.create_alias,
        locate=aliases.locate_create_alias,
        rule=StateRule.ANNOTATE,
        elements=no_elements,
    ),
    _writes("UpdateAlias", aliases.AliasRequest, aliases.update_alias, locate=aliases.locate_update_alias),
    _writes(
        "DeleteAlias",
        aliases.DeleteAliasRequest,
        aliases.delete_alias,
        locate=aliases.locate_delete_alias,
        rule=StateRule.READ,
    ),
    Operation(
        "ListAliases",
        aliases.ListAliasesRequest,
        aliases.list_aliases,
        locate=no_resource("kms:ListAliases"),
        placement=Placement.READING,
    ),
    # --- tags
    _changes("TagResource", tags.TagResourceRequest, tags.tag_resource, StateRule.ANNOTATE),
    _changes("UntagResource", tags.UntagResourceRequest, tags.untag_resource, StateRule.ANNOTATE),
    _reads("ListResourceTags", tags.ListResourceTagsRequest, tags.list_resource_tags),
    # --- policies
    _reads("GetKeyPolicy", key_policy.GetKeyPolicyRequest, key_policy.get_key_policy),
    _changes("PutKeyPolicy", key_policy.PutKeyPolicyRequest, key_policy.put_key_policy, StateRule.READ),
    _reads("ListKeyPolicies", key_policy.ListKeyPoliciesRequest, key_policy.list_key_policies),
    # --- grants
    _writes(
        "CreateGrant",
        grant_shapes.CreateGrantRequest,
        grants.create_grant,
        locate=by_key_id("kms:CreateGrant", KeyIdForms.KEY_ONLY),
        rule=StateRule.GRANT,
        elements=grants.create_grant_elements,
        cross_account=True,
    ),
    Operation(
        "ListGrants",
        grant_shapes.ListGrantsRequest,
        grant_lists.list_grants,
        locate=by_key_id("kms:ListGrants", KeyIdForms.KEY_ONLY),
        rule=StateRule.READ,
        cross_account=True,
        placement=Placement.READING,
    ),
    Operation(
        "ListRetirableGrants",
        grant_shapes.ListRetirableGrantsRequest,
        grant_lists.list_retirable_grants,
        locate=no_resource("kms:ListRetirableGrants"),
        placement=Placement.READING,
    ),
    _writes(
        "RetireGrant",
        grant_shapes.RetireGrantRequest,
        grants.retire_grant,
        locate=grants.locate_retire_grant,
        rule=StateRule.READ,
        cross_account=True,
    ),
    _writes(
        "RevokeGrant",
        grant_shapes.RevokeGrantRequest,
        grants.revoke_grant,
        locate=by_key_id("kms:RevokeGrant", KeyIdForms.KEY_ONLY),
        rule=StateRule.READ,
        cross_account=True,
        elements=key_id_element,
    ),
    # --- custom key stores
    _connects_stores(
        "CreateCustomKeyStore",
        custom_key_store_settings.CreateCustomKeyStoreRequest,
        custom_key_store_settings.create_custom_key_store,
    ),
    Operation(
        "DescribeCustomKeyStores",
        custom_key_stores.DescribeCustomKeyStoresRequest,
        custom_key_stores.describe_custom_key_stores,
        locate=no_resource("kms:DescribeCustomKeyStores"),
        placement=Placement.READING,
    ),
    _connects_stores(
        "UpdateCustomKeyStore",
        custom_key_store_settings.UpdateCustomKeyStoreRequest,
        custom_key_store_settings.update_custom_key_store,
    ),
    _connects_stores(
        "ConnectCustomKeyStore",
        custom_key_stores.CustomKeyStoreRequest,
        custom_key_stores.connect_custom_key_store,
    ),
    _writes_to_stores(
        "DisconnectCustomKeyStore",
        custom_key_stores.CustomKeyStoreRequest,
        custom_key_stores.disconnect_custom_key_store,
    ),
    _writes_to_stores(
        "DeleteCustomKeyStore",
        custom_key_stores.CustomKeyStoreRequest,
        custom_key_stores.delete_custom_key_store,
    ),
    # --- rotation
    _shares(
        "EnableKeyRotation", rotation.EnableKeyRotationRequest, rotation.enable_key_rotation, StateRule.SET_ROTATION
    ),
    _shares("DisableKeyRotation", keys.KeyRequest, rotation.disable_key_rotation, StateRule.SET_ROTATION),
    _reads("GetKeyRotationStatus", keys.KeyRequest, rotation.get_key_rotation_status, cross_account=True),
    _shares("RotateKeyOnDemand", keys.KeyRequest, rotation.rotate_key_on_demand, StateRule.ROTATE),
    _reads("ListKeyRotations", rotation.ListKeyRotationsRequest, rotation.list_key_rotations),
    # --- imported key material
    Operation(
        "GetParametersForImport",
        import_key_material.GetParametersForImportRequest,
        import_key_material.get_parameters_for_import,
        locate=by_key_id("kms:GetParametersForImport", KeyIdForms.KEY_ONLY),
        rule=StateRule.PREPARE_IMPORT,
        placement=Placement.GENERATING,
    ),
    _changes(
        "ImportKeyMaterial",
        import_key_material.ImportKeyMaterialRequest,
        import_key_material.import_key_material,
        StateRule.IMPORT,
        import_key_material.key_material_elements,
        import_key_material.imported_everywhere,
    ),
    _changes(
        "DeleteImportedKeyMaterial",
        import_key_material.DeleteImportedKeyMaterialRequest,
        import_key_material.delete_imported_key_material,
        StateRule.DELETE_MATERIAL,
        import_key_material.key_material_elements,
        import_key_material.deleted_everywhere,
    ),
    # --- multi-Region keys
    _writes(
        "ReplicateKey",
        multi_region.ReplicateKeyRequest,
        multi_region.replicate_key,
        locate=multi_region.locate_replicate_key,
        rule=StateRule.REPLICATE,
        elements=multi_region.replicate_key_elements,
        echoes=multi_region.replica_created,
    ),
    _writes(
        "UpdatePrimaryRegion",
        multi_region.UpdatePrimaryRegionRequest,
        multi_region.update_primary_region,
        locate=multi_region.locate_update_primary_region,
        rule=StateRule.MOVE_PRIMARY,
        echoes=multi_region.primary_updated,
    ),
)

TABLE: dict[str, Operation] = {row.name: row for row in _ROWS}
"""Action name → row."""
