"""Seed files of local-kms, version 3: ``seed.yaml``.

Source: local-kms, README ("Seeding file format") and the ``UnmarshalYAML`` of ``src/cmk``. The form of its earlier
releases, in which ``Keys`` is a list of AES keys, is read too. Members that local-kms ignores are ignored here.
"""

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.crypto.software.given_keys import given_private_key
from strongroom.keys.arns import MULTI_REGION_PREFIX
from strongroom.keys.specs import KeySpec, KeyUsage, Origin
from strongroom.seeds.seed import Seed, SeedAlias, SeedError, SeedKey

MAX_SIZE = 1024 * 1024
"""The size of the largest file that is read, bytes."""
_KEY_LENGTH = 32
_KEY_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}")
_ORIGINS = {"": Origin.AWS_KMS, "AWS_KMS": Origin.AWS_KMS, "EXTERNAL": Origin.EXTERNAL}
_AES, _RSA, _ECC = "Keys.Symmetric.Aes", "Keys.Asymmetric.Rsa", "Keys.Asymmetric.Ecc"
_USAGES = {
    _RSA: (KeyUsage.ENCRYPT_DECRYPT, KeyUsage.SIGN_VERIFY),
    _ECC: (KeyUsage.SIGN_VERIFY,),
}
_KINDS = {_RSA: "RSA_", _ECC: "ECC_"}


class _Metadata(msgspec.Struct, rename="pascal"):
    key_id: str
    description: Annotated[str, Meta(max_length=8192)] = ""
    origin: str = ""
    key_usage: str = ""


class _AesKey(msgspec.Struct, rename="pascal"):
    metadata: _Metadata
    backing_keys: Annotated[list[str], Meta(max_length=100)] = []
    next_key_rotation: str = ""


class _AsymmetricKey(msgspec.Struct, rename="pascal"):
    metadata: _Metadata
    private_key_pem: str


class _Alias(msgspec.Struct, rename="pascal"):
    alias_name: str
    target_key_id: str


_AesKeys = Annotated[list[_AesKey], Meta(max_length=1000)]
_AsymmetricKeys = Annotated[list[_AsymmetricKey], Meta(max_length=1000)]


class _Symmetric(msgspec.Struct, rename="pascal"):
    aes: _AesKeys | None = None


class _Asymmetric(msgspec.Struct, rename="pascal"):
    rsa: _AsymmetricKeys | None = None
    ecc: _AsymmetricKeys | None = None


class _Keys(msgspec.Struct, rename="pascal"):
    symmetric: _Symmetric | None = None
    asymmetric: _Asymmetric | None = None


class _File(msgspec.Struct, rename="pascal"):
    keys: _Keys | _AesKeys | None = None
    aliases: Annotated[list[_Alias], Meta(max_length=10_000)] | None = None


def read_seed(path: Path) -> Seed:
    """Return the seed in a file; raises SeedError, also if the library for YAML is not installed."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise SeedError(f"cannot read the seed file `{path}`: {error.strerror}") from None
    return parse_seed(content, str(path))


def parse_seed(content: bytes, name: str) -> Seed:
    """Return the seed in the content of a file called ``name``; raises SeedError."""
    if len(content) > MAX_SIZE:
        raise SeedError(f"`{name}` is larger than {MAX_SIZE} bytes, so it is no seed file")
    seed = Seed(name, (), ())
    file = _declared(content, name)
    keys: list[SeedKey] = []
    found = file.keys
    if isinstance(found, list):
        keys += (_aes_key(seed, each, f"Keys[{index}]") for index, each in enumerate(found))
    elif found is not None:
        symmetric, asymmetric = found.symmetric or _Symmetric(), found.asymmetric or _Asymmetric()
        keys += (_aes_key(seed, each, f"{_AES}[{index}]") for index, each in enumerate(symmetric.aes or ()))
        for kind, entries in ((_RSA, asymmetric.rsa), (_ECC, asymmetric.ecc)):
            keys += (_asymmetric_key(seed, each, kind, index) for index, each in enumerate(entries or ()))
    aliases = [
        SeedAlias(each.alias_name, each.target_key_id, f"Aliases[{index}]")
        for index, each in enumerate(file.aliases or ())
    ]
    _require_distinct(seed, keys, aliases)
    return Seed(name, tuple(keys), tuple(aliases))


def _declared(content: bytes, name: str) -> _File:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise SeedError("to read a seed file, more must be installed: pip install 'strongroom[testing]'") from None
    try:
        # Every scalar stays text, as local-kms takes it: a key of digits alone is no number.
        raw = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes text, lists and mappings only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise SeedError(f"`{name}`{where}: it is not YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise SeedError(f"`{name}` is not YAML in UTF-8") from None
    try:
        file = msgspec.convert(_without_empty(raw), _File)
        # An escape in YAML can be half of a surrogate pair, which no other part of the service takes for text.
        msgspec.json.encode(file)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        place = f"{path.removesuffix('`')}: " if path else ""
        raise SeedError(f"`{name}`: {place}{problem.replace('`', chr(39))}") from None
    except UnicodeEncodeError:
        raise SeedError(f"`{name}`: it has a surrogate, U+D800 to U+DFFF, which is no character") from None
    return file


def _without_empty(raw: object) -> object:
    """Return a document without its empty sections: ``Aliases:`` with nothing after it is text for the loader."""
    if isinstance(raw, dict):
        return {key: _without_empty(value) for key, value in raw.items() if value != ""}
    return {} if raw in (None, "") else raw


def _key_id(seed: Seed, metadata: _Metadata, place: str) -> str:
    if not _KEY_ID.fullmatch(metadata.key_id):
        raise seed.error(
            f"{place}.Metadata.KeyId",
            f"`{metadata.key_id}` is not a key id as AWS makes them: a UUID in lower case, "
            f"or {MULTI_REGION_PREFIX} and 32 hex digits",
        )
    return metadata.key_id


def _aes_key(seed: Seed, key: _AesKey, place: str) -> SeedKey:
    origin = _ORIGINS.get(key.metadata.origin)
    if origin is None:
        raise seed.error(
            f"{place}.Metadata.Origin", f"`{key.metadata.origin}` is neither AWS_KMS nor EXTERNAL, which can be seeded"
        )
    count = len(key.backing_keys)
    if origin is Origin.EXTERNAL and count > 1:
        raise seed.error(f"{place}.BackingKeys", "a key of Origin EXTERNAL can have one backing key only")
    if origin is Origin.AWS_KMS and not count:
        raise seed.error(f"{place}.BackingKeys", "there must be at least one backing key")
    return SeedKey(
        key_id=_key_id(seed, key.metadata, place),
        spec=KeySpec.SYMMETRIC_DEFAULT,
        usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=origin,
        description=key.metadata.description,
        materials=tuple(
            _backing_key(seed, each, f"{place}.BackingKeys[{n}]") for n, each in enumerate(key.backing_keys)
        ),
        next_rotation=_next_rotation(seed, key.next_key_rotation, f"{place}.NextKeyRotation"),
        place=place,
    )


def _backing_key(seed: Seed, text: str, place: str) -> bytes:
    # The text itself is a secret, even where it is not a key.
    try:
        material = bytes.fromhex(text) if text.isalnum() else b""
    except ValueError:
        material = b""
    if len(material) != _KEY_LENGTH:
        raise seed.error(place, f"it is not {_KEY_LENGTH} bytes as {2 * _KEY_LENGTH} hex digits")
    return material


def _next_rotation(seed: Seed, text: str, place: str) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise seed.error(place, f"`{text}` is not a date and time of ISO 8601") from None
    return math.floor(seconds)


def _asymmetric_key(seed: Seed, key: _AsymmetricKey, kind: str, index: int) -> SeedKey:
    place = f"{kind}[{index}]"
    allowed = _USAGES[kind]
    if key.metadata.key_usage not in allowed:
        raise seed.error(f"{place}.Metadata.KeyUsage", f"it must be {' or '.join(allowed)}")
    try:
        spec, material = given_private_key(key.private_key_pem.encode())
    except ValueError as error:
        raise seed.error(f"{place}.PrivateKeyPem", str(error)) from None
    if not spec.startswith(_KINDS[kind]) or spec is KeySpec.ECC_NIST_EDWARDS25519:
        raise seed.error(f"{place}.PrivateKeyPem", f"it is a key of spec {spec}, which does not belong here")
    return SeedKey(
        key_id=_key_id(seed, key.metadata, place),
        spec=spec,
        usage=KeyUsage(key.metadata.key_usage),
        origin=Origin.AWS_KMS,
        description=key.metadata.description,
        materials=(material,),
        place=place,
    )


def _require_distinct(seed: Seed, keys: list[SeedKey], aliases: list[SeedAlias]) -> None:
    by_id: dict[str, str] = {}
    for key in keys:
        if (other := by_id.setdefault(key.key_id, key.place)) != key.place:
            raise seed.error(f"{key.place}.Metadata.KeyId", f"{other} has the same key id")
    by_name: dict[str, str] = {}
    for alias in aliases:
        if (other := by_name.setdefault(alias.name, alias.place)) != alias.place:
            raise seed.error(f"{alias.place}.AliasName", f"{other} has the same name")
