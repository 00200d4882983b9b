"""Seed files of local-kms: what is read, and which mistakes are named."""

import sys
from pathlib import Path

import pytest

from strongroom.keys.specs import KeySpec, KeyUsage, Origin
from strongroom.seeds.local_kms_file import MAX_SIZE, parse_seed, read_seed
from strongroom.seeds.seed import SeedError

SEED = Path(__file__).parents[2] / "vectors" / "local-kms" / "seed.yaml"
KEY = "bc436485-5092-42b8-92a3-0aa8b93536dc"
HEX = "34743777217A25432A46294A404E635266556A586E3272357538782F413F4428"


def aes(*, key_id: str = KEY, more: str = "", backing: str = f"BackingKeys: [{HEX}]") -> str:
    return f"Keys: {{Symmetric: {{Aes: [{{Metadata: {{KeyId: {key_id}{more}}}, {backing}}}]}}}}"


def asymmetric(kind: str, *, usage: str, pem: str) -> str:
    return f"Keys: {{Asymmetric: {{{kind}: [{{Metadata: {{KeyId: {KEY}{usage}}}, PrivateKeyPem: {pem!r}}}]}}}}"


def test_a_whole_file() -> None:
    seed = read_seed(SEED)
    assert [(key.spec, key.usage, key.origin, len(key.materials)) for key in seed.keys] == [
        (KeySpec.SYMMETRIC_DEFAULT, KeyUsage.ENCRYPT_DECRYPT, Origin.AWS_KMS, 1),
        (KeySpec.SYMMETRIC_DEFAULT, KeyUsage.ENCRYPT_DECRYPT, Origin.AWS_KMS, 3),
        (KeySpec.SYMMETRIC_DEFAULT, KeyUsage.ENCRYPT_DECRYPT, Origin.EXTERNAL, 1),
        (KeySpec.SYMMETRIC_DEFAULT, KeyUsage.ENCRYPT_DECRYPT, Origin.EXTERNAL, 0),
        (KeySpec.RSA_2048, KeyUsage.SIGN_VERIFY, Origin.AWS_KMS, 1),
        (KeySpec.RSA_2048, KeyUsage.ENCRYPT_DECRYPT, Origin.AWS_KMS, 1),
        (KeySpec.ECC_NIST_P256, KeyUsage.SIGN_VERIFY, Origin.AWS_KMS, 1),
        (KeySpec.ECC_NIST_P384, KeyUsage.SIGN_VERIFY, Origin.AWS_KMS, 1),
        (KeySpec.ECC_NIST_P521, KeyUsage.SIGN_VERIFY, Origin.AWS_KMS, 1),
    ]
    # A backing key of digits alone is no number, and 2049-09-12T15:19:21Z is the next rotation.
    assert seed.keys[1].materials[2] == bytes.fromhex("7" * 64)
    assert seed.keys[1].next_rotation == 2_515_072_761
    assert seed.keys[0].description == "The key of the orders"
    assert [(alias.name, alias.target_key_id[-2:]) for alias in seed.aliases] == [
        ("alias/orders", "01"),
        ("alias/rotated", "02"),
    ]


def test_the_earlier_form_of_the_file() -> None:
    text = f"Keys: [{{Metadata: {{KeyId: {KEY}}}, BackingKeys: [{HEX}]}}]\nAliases:\n"
    seed = parse_seed(text.encode(), "seed.yaml")
    assert [key.materials for key in seed.keys] == [(bytes.fromhex(HEX),)]
    assert seed.aliases == ()


@pytest.mark.parametrize("text", ["", "Keys:\n", "Keys:\n  Symmetric:\n    Aes:\nAliases:\n", "# nothing\n"])
def test_a_file_without_keys(text: str) -> None:
    assert parse_seed(text.encode(), "seed.yaml").keys == ()


def test_a_representation_has_no_key_material() -> None:
    seed = read_seed(SEED)
    shown = repr(seed)
    assert seed.keys[0].key_id in shown
    assert all(repr(material)[2:-1] not in shown for key in seed.keys for material in key.materials)


MISTAKES = {
    "half a character": (aes(more=', Description: "\\ud800"'), "`seed.yaml`: it has a surrogate, U+D800 to U+DFFF"),
    "half a character in an alias": (
        'Aliases: [{AliasName: alias/a, TargetKeyId: "\\udfff"}]',
        "`seed.yaml`: it has a surrogate, U+D800 to U+DFFF",
    ),
    "a long description": (
        aes(more=f", Description: {8193 * 'x'}"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].Metadata.Description: Expected 'str' of length <= 8192",
    ),
    "no YAML": ("Keys: [", "`seed.yaml`, line 1, column 8: it is not YAML: "),
    "a list": ("- 1", "`seed.yaml`: Expected 'object', got 'array'"),
    "no key id": (
        "Keys: {Symmetric: {Aes: [{Metadata: {}}]}}",
        "`seed.yaml`: Keys.Symmetric.Aes[0].Metadata: Object missing required field 'KeyId'",
    ),
    "a name for a key id": (
        aes(key_id="my-key"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].Metadata.KeyId: `my-key` is not a key id as AWS makes them",
    ),
    "another origin": (
        aes(more=", Origin: AWS_CLOUDHSM"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].Metadata.Origin: `AWS_CLOUDHSM` is neither AWS_KMS nor EXTERNAL",
    ),
    "no backing key": (
        aes(backing="BackingKeys: []"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].BackingKeys: there must be at least one backing key",
    ),
    "two imported keys": (
        aes(more=", Origin: EXTERNAL", backing=f"BackingKeys: [{HEX}, {HEX}]"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].BackingKeys: a key of Origin EXTERNAL can have one backing key only",
    ),
    "a short backing key": (
        aes(backing="BackingKeys: [0123456789abcdef]"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].BackingKeys[0]: it is not 32 bytes as 64 hex digits",
    ),
    "no hex": (
        aes(backing=f"BackingKeys: [{HEX[:-1]}g]"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].BackingKeys[0]: it is not 32 bytes as 64 hex digits",
    ),
    "no date": (
        aes(backing=f"BackingKeys: [{HEX}], NextKeyRotation: soon"),
        "`seed.yaml`: Keys.Symmetric.Aes[0].NextKeyRotation: `soon` is not a date and time of ISO 8601",
    ),
    "a curve that decrypts": (
        asymmetric("Ecc", usage=", KeyUsage: ENCRYPT_DECRYPT", pem=""),
        "`seed.yaml`: Keys.Asymmetric.Ecc[0].Metadata.KeyUsage: it must be SIGN_VERIFY",
    ),
    "RSA without a usage": (
        asymmetric("Rsa", usage="", pem="x"),
        "`seed.yaml`: Keys.Asymmetric.Rsa[0].Metadata.KeyUsage: it must be ENCRYPT_DECRYPT or SIGN_VERIFY",
    ),
    "no PEM": (
        asymmetric("Rsa", usage=", KeyUsage: SIGN_VERIFY", pem="-----BEGIN PRIVATE KEY-----"),
        "`seed.yaml`: Keys.Asymmetric.Rsa[0].PrivateKeyPem: it is not a private key in PEM without a password",
    ),
    "a key twice": (
        "Keys: [" + ", ".join([f"{{Metadata: {{KeyId: {KEY}}}, BackingKeys: [{HEX}]}}"] * 2) + "]",
        "`seed.yaml`: Keys[1].Metadata.KeyId: Keys[0] has the same key id",
    ),
    "an alias twice": (
        "Aliases: [{AliasName: alias/a, TargetKeyId: b}, {AliasName: alias/a, TargetKeyId: c}]",
        "`seed.yaml`: Aliases[1].AliasName: Aliases[0] has the same name",
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_in_one_line_without_key_material(text: str, message: str) -> None:
    with pytest.raises(SeedError) as refused:
        parse_seed(text.encode(), "seed.yaml")
    said = str(refused.value)
    assert said.startswith(message)
    assert "\n" not in said
    assert HEX[:-1] not in said


def test_an_rsa_key_among_the_elliptic_curves() -> None:
    whole = SEED.read_text()
    rsa_key = whole[whole.index("    Rsa:") : whole.index("    Ecc:")].replace("    Rsa:", "    Ecc:")
    text = f"Keys:\n  Asymmetric:\n{rsa_key}"
    with pytest.raises(
        SeedError, match=r"Ecc\[0\]\.PrivateKeyPem: it is a key of spec RSA_2048, which does not belong here"
    ):
        parse_seed(text.encode(), "seed.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match=r"cannot read the seed file `.*missing\.yaml`: No such file or directory"):
        read_seed(tmp_path / "missing.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_SIZE + 1))
    with pytest.raises(SeedError, match="is larger than"):
        read_seed(tmp_path / "large.yaml")


def test_without_the_library_for_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SeedError, match=r"pip install 'strongroom\[testing\]'"):
        parse_seed(b"", "seed.yaml")
