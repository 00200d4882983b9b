"""For every operation on keys, a request that is as valid as the key allows: its own ciphertexts, signatures, aliases.

An operation that involves two keys appears once for each role that the key under test can have.
"""

from typing import Any

import msgspec
from typing_extensions import override

from key_kinds import WEST, KeyKind, KeyMaker, MadeKey
from local_deployment import LocalDeployment

ENCRYPTION = {
    "SYMMETRIC_DEFAULT": "SYMMETRIC_DEFAULT",
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), "RSAES_OAEP_SHA_256"),
}
SIGNING = {
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), "RSASSA_PSS_SHA_256"),
    "ECC_NIST_P256": "ECDSA_SHA_256",
    "ECC_NIST_P384": "ECDSA_SHA_384",
    "ECC_NIST_P521": "ECDSA_SHA_512",
    "ECC_SECG_P256K1": "ECDSA_SHA_256",
    "ECC_NIST_EDWARDS25519": "ED25519_SHA_512",
    **dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), "ML_DSA_SHAKE_256"),
}
GRANTED = {
    "ENCRYPT_DECRYPT": "Encrypt",
    "SIGN_VERIFY": "Sign",
    "GENERATE_VERIFY_MAC": "GenerateMac",
    "KEY_AGREEMENT": "DeriveSharedSecret",
    "ENCAPSULATE_DECAPSULATE": "Encapsulate",
}
ROOT = "arn:aws:iam::000000000000:root"
MESSAGE = "eA=="
TEXT = {"Plaintext": MESSAGE}


class RequestCase(msgspec.Struct, frozen=True):
    """One request of an operation. ``part``: the role of the key, or how it is named, where there are several."""

    operation: str
    request: dict[str, Any]
    part: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.operation} {self.part}".rstrip()


class ValidRequests:
    """Makes requests for keys.

    It has partner keys, enabled ones of every usage, for operations that involve two keys. Where a usage has several
    specs, the partner's is a rare one.
    """

    def __init__(self, maker: KeyMaker) -> None:
        self._deployment: LocalDeployment = maker.local
        specs = {
            "SYMMETRIC_DEFAULT": "ENCRYPT_DECRYPT",
            "HMAC_512": "GENERATE_VERIFY_MAC",
            "ECC_SECG_P256K1": "SIGN_VERIFY",
            "ECC_NIST_P521": "KEY_AGREEMENT",
            "ML_KEM_1024": "ENCAPSULATE_DECAPSULATE",
        }
        self._partners = {usage: maker.make(KeyKind(spec, usage)) for spec, usage in specs.items()}
        self._rsa = maker.make(KeyKind("RSA_2048", "ENCRYPT_DECRYPT"))
        external = maker.make(KeyKind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL"))
        assert external.imports is not None
        self._imports = external.imports
        for partner in (*self._partners.values(), self._rsa):
            self._deployment.call("CreateAlias", AliasName=_alias(partner), TargetKeyId=partner.key_id)
        self._helper = self._partners["ENCRYPT_DECRYPT"].key_id
        self._blob = self._deployment.call("Encrypt", KeyId=self._helper, **TEXT)["CiphertextBlob"]
        agreement = self._partners["KEY_AGREEMENT"]
        self._peer = self._deployment.call("GetPublicKey", KeyId=agreement.key_id)["PublicKey"]

    def requests(self, made: MadeKey) -> list[RequestCase]:
        """Return the requests for an enabled key; gives it an alias and a grant."""
        self._deployment.call("CreateAlias", AliasName=_alias(made), TargetKeyId=made.key_id)
        return [
            *self._encryption(made),
            *self._data_keys(made),
            *self._signatures(made),
            *self._secrets(made),
            *_management(made),
            *self._aliases(made),
            *self._grants(made),
            *self._imported(made),
        ]

    def _encryption(self, made: MadeKey) -> list[RequestCase]:
        algorithm = ENCRYPTION.get(made.kind.spec, "SYMMETRIC_DEFAULT")
        encrypt = {"KeyId": made.key_id, "EncryptionAlgorithm": algorithm, **TEXT}
        blob = self._blob
        if made.kind.usage == "ENCRYPT_DECRYPT":
            blob = self._deployment.call("Encrypt", **encrypt)["CiphertextBlob"]
        decrypt = {"CiphertextBlob": blob, "KeyId": made.key_id, "EncryptionAlgorithm": algorithm}
        source = {"SourceKeyId": made.key_id, "SourceEncryptionAlgorithm": algorithm, "CiphertextBlob": blob}
        destination = {"DestinationKeyId": made.key_id, "DestinationEncryptionAlgorithm": algorithm}
        implied = [RequestCase("Decrypt", {"CiphertextBlob": blob}, "implied")] if made.kind.symmetric else []
        return [
            RequestCase("Encrypt", encrypt),
            RequestCase("Decrypt", decrypt),
            *implied,
            RequestCase("ReEncrypt", {**source, "DestinationKeyId": self._helper}, "from"),
            RequestCase("ReEncrypt", {"CiphertextBlob": self._blob, **destination}, "to"),
        ]

    def _data_keys(self, made: MadeKey) -> list[RequestCase]:
        one, pair = {"KeyId": made.key_id, "KeySpec": "AES_256"}, {"KeyId": made.key_id, "KeyPairSpec": "ECC_NIST_P256"}
        return [
            RequestCase("GenerateDataKey", one),
            RequestCase("GenerateDataKeyWithoutPlaintext", one),
            RequestCase("GenerateDataKeyPair", pair),
            RequestCase("GenerateDataKeyPairWithoutPlaintext", pair),
        ]

    def _signatures(self, made: MadeKey) -> list[RequestCase]:
        sign = {
            "KeyId": made.key_id,
            "Message": MESSAGE,
            "SigningAlgorithm": SIGNING.get(made.kind.spec, "ECDSA_SHA_256"),
        }
        mac = {"KeyId": made.key_id, "Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
        signature = tag = self._blob
        if made.kind.usage == "SIGN_VERIFY":
            signature = self._deployment.call("Sign", **sign)["Signature"]
        if made.kind.hmac:
            mac["MacAlgorithm"] = made.kind.spec.replace("HMAC", "HMAC_SHA")
            tag = self._deployment.call("GenerateMac", **mac)["Mac"]
        return [
            RequestCase("Sign", sign),
            RequestCase("Verify", {**sign, "Signature": signature}),
            RequestCase("GenerateMac", mac),
            RequestCase("VerifyMac", {**mac, "Mac": tag}),
        ]

    def _secrets(self, made: MadeKey) -> list[RequestCase]:
        peer = self._peer
        if made.kind.usage == "KEY_AGREEMENT":
            peer = self._deployment.call("GetPublicKey", KeyId=made.key_id)["PublicKey"]
        derive = {"KeyId": made.key_id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer}
        encapsulate = {"KeyId": made.key_id, "EncapsulationAlgorithm": "ML_KEM"}
        blob = self._blob
        if made.kind.usage == "ENCAPSULATE_DECAPSULATE":
            blob = self._deployment.call("Encapsulate", **encapsulate)["SharedSecretCiphertextBlob"]
        return [
            RequestCase("DeriveSharedSecret", derive),
            RequestCase("Encapsulate", encapsulate),
            RequestCase("Decapsulate", {**encapsulate, "SharedSecretCiphertextBlob": blob}),
        ]

    def _aliases(self, made: MadeKey) -> list[RequestCase]:
        partner = self._partners[made.kind.usage]
        if made.kind.spec.startswith("RSA") and made.kind.usage == "ENCRYPT_DECRYPT":
            partner = self._rsa
        new = f"alias/new-{made.key_id}"
        return [
            RequestCase("CreateAlias", {"AliasName": new, "TargetKeyId": made.key_id}),
            RequestCase("UpdateAlias", {"AliasName": _alias(made), "TargetKeyId": partner.key_id}, "from"),
            RequestCase("UpdateAlias", {"AliasName": _alias(partner), "TargetKeyId": made.key_id}, "to"),
            RequestCase("DeleteAlias", {"AliasName": _alias(made)}),
            RequestCase("ListAliases", {"KeyId": made.key_id}),
        ]

    def _grants(self, made: MadeKey) -> list[RequestCase]:
        on = {"KeyId": made.key_id}
        create: dict[str, Any] = {
            **on,
            "GranteePrincipal": ROOT,
            "Operations": [GRANTED[made.kind.usage], "DescribeKey"],
        }
        granted = self._deployment.call("CreateGrant", **create)
        return [
            RequestCase("CreateGrant", create),
            RequestCase("ListGrants", on),
            RequestCase("RetireGrant", {"GrantToken": granted["GrantToken"]}, "by token"),
            RequestCase("RetireGrant", {"KeyId": made.arn, "GrantId": granted["GrantId"]}, "by id"),
            RequestCase("RevokeGrant", {**on, "GrantId": granted["GrantId"]}),
        ]

    def _imported(self, made: MadeKey) -> list[RequestCase]:
        on = {"KeyId": made.key_id}
        algorithm = "RSAES_OAEP_SHA_256" if made.kind.symmetric or made.kind.hmac else "RSA_AES_KEY_WRAP_SHA_256"
        how = {"WrappingAlgorithm": algorithm, "WrappingKeySpec": "RSA_2048"}
        return [
            RequestCase("GetParametersForImport", {**on, **how}),
            # For keys that do not import material, this is the material of another key.
            RequestCase("ImportKeyMaterial", {**on, **(made.imports or self._imports)}),
            RequestCase("DeleteImportedKeyMaterial", on),
        ]


def _management(made: MadeKey) -> list[RequestCase]:
    on = {"KeyId": made.key_id}
    alone = (
        *("GetPublicKey", "DescribeKey", "GetKeyLastUsage", "EnableKey", "DisableKey"),
        *("ScheduleKeyDeletion", "CancelKeyDeletion", "GetKeyPolicy", "ListKeyPolicies", "ListResourceTags"),
        *("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus", "RotateKeyOnDemand", "ListKeyRotations"),
    )
    statement = f'{{"Effect":"Allow","Principal":{{"AWS":"{ROOT}"}},"Action":"kms:*","Resource":"*"}}'
    return [
        *(RequestCase(name, on) for name in alone),
        RequestCase("UpdateKeyDescription", {**on, "Description": "changed"}),
        RequestCase("PutKeyPolicy", {**on, "Policy": f'{{"Version":"2012-10-17","Statement":[{statement}]}}'}),
        RequestCase("TagResource", {**on, "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        RequestCase("UntagResource", {**on, "TagKeys": ["a"]}),
        RequestCase("ReplicateKey", {**on, "ReplicaRegion": WEST}),
        RequestCase("UpdatePrimaryRegion", {**on, "PrimaryRegion": WEST}),
    ]


def _alias(made: MadeKey) -> str:
    return f"alias/of-{made.key_id}"
