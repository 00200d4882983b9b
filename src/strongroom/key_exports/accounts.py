"""Puts another account in the place of the one that exported keys name. Pure."""

from typing import TypeAlias

import msgspec

from strongroom.arns import parse_arn

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_CONTEXT = "kms:encryptioncontext"
"""How the condition keys for encryption contexts begin, in lower case."""


def policy_for(text: str, source: str, target: str) -> str:
    """Return a policy document with the account ``target`` wherever it names ``source``.

    That is the account id alone, as a principal or as the value of a condition, and the account in an ARN. Other text
    stays as it is, and so do values of an encryption context: they were chosen when something was encrypted. Raises
    ValueError if the document is not JSON.
    """
    if source == target:
        return text
    document: Json = msgspec.json.decode(text)
    return msgspec.json.encode(_moved(document, source, target)).decode()


def name_for(name: str, source: str, target: str) -> str:
    """Return an account id or ARN with the account ``target`` in the place of ``source``; other text as it is."""
    if name == source:
        return target
    arn = parse_arn(name)
    if arn is None or arn.account != source:
        return name
    return str(msgspec.structs.replace(arn, account=target))


def _moved(value: Json, source: str, target: str) -> Json:
    if isinstance(value, str):
        return name_for(value, source, target)
    if isinstance(value, list):
        return [_moved(each, source, target) for each in value]
    if isinstance(value, dict):
        return {
            key: each if key.lower().startswith(_CONTEXT) else _moved(each, source, target)
            for key, each in value.items()
        }
    return value
