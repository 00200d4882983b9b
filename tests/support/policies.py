"""Short notation for policies, and the principals that tests use."""

import json
from collections.abc import Mapping
from typing import Any

from strongroom.iam import CompiledPolicy, PolicyKind, Principal, account_root, compile_policy, parse_policy
from strongroom.iam.principals import assumed_role, iam_user, service, web_identity

HOME, AWAY = "111122223333", "444455556666"
KEY = f"arn:aws:kms:us-east-1:{HOME}:key/1234abcd-12ab-34cd-56ef-1234567890ab"

ROOT = f"arn:aws:iam::{HOME}:root"
ALICE = f"arn:aws:iam::{HOME}:user/alice"
ALICE_ID = "AIDAALICEALICEALICE12"
BOB = f"arn:aws:iam::{HOME}:user/staff/bob"
ROLE = f"arn:aws:iam::{HOME}:role/service/Worker"
ROLE_ID = "AROAWORKERWORKERWORK1"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/Worker/job-1"
AWAY_ROOT = f"arn:aws:iam::{AWAY}:root"
CAROL = f"arn:aws:iam::{AWAY}:user/carol"
AWAY_ROLE = f"arn:aws:iam::{AWAY}:role/Reader"
AWAY_SESSION = f"arn:aws:sts::{AWAY}:assumed-role/Reader/r1"
SERVICE = "backup.amazonaws.com"
PROVIDER = "oidc.example.com"

root = account_root(HOME)
alice = iam_user(ALICE, user_id=ALICE_ID, tags={"Team": "red", "cost": "42"})
bob = iam_user(BOB)
worker = assumed_role(ROLE, "job-1", role_id=ROLE_ID)
other_worker = assumed_role(ROLE, "job-2", role_id=ROLE_ID)
away_root = account_root(AWAY)
carol = iam_user(CAROL)
away_reader = assumed_role(AWAY_ROLE, "r1")
backup = service(SERVICE)
pod = web_identity(PROVIDER, "system:serviceaccount:default:pod")
pod_session = assumed_role(ROLE, "pod", role_id=ROLE_ID, provider=PROVIDER)

Json = dict[str, Any]


def allow(*principals: str, do: Any = "kms:*", on: Any = "*", when: Json | None = None, **more: Any) -> Json:
    """Return an Allow statement.

    A principal is an ARN, ``S:`` and a service, or ``F:`` and an identity provider. Without principals, it is a
    statement of an identity policy.
    """
    return _statement("Allow", principals, do, on, when, more)


def deny(*principals: str, do: Any = "kms:*", on: Any = "*", when: Json | None = None, **more: Any) -> Json:
    """Return a Deny statement."""
    return _statement("Deny", principals, do, on, when, more)


def others(effect: str, *principals: str, do: Any = "kms:*") -> Json:
    """Return a statement with NotPrincipal."""
    return {"Effect": effect, "NotPrincipal": _principal(principals), "Action": do, "Resource": "*"}


def document(*statements: Json, version: str = "2012-10-17") -> str:
    """Return a policy document."""
    return json.dumps({"Version": version, "Statement": list(statements)})


def compiled(kind: PolicyKind, *statements: Json, version: str = "2012-10-17") -> CompiledPolicy:
    """Return a compiled policy."""
    return compile_policy(parse_policy(document(*statements, version=version), kind))


def values_of(context: Mapping[str, Any]) -> Any:
    """Return a lookup of condition keys in lower case; each value becomes a list."""
    found = {name.lower(): [value] if isinstance(value, str) else value for name, value in context.items()}
    return found.get


def _statement(effect: str, principals: tuple[str, ...], do: Any, on: Any, when: Json | None, more: Json) -> Json:
    statement: Json = {"Effect": effect, **more}
    if principals:
        statement["Principal"] = _principal(principals)
    if "NotAction" not in more:
        statement["Action"] = do
    if "NotResource" not in more and on is not None:
        statement["Resource"] = on
    if when:
        statement["Condition"] = when
    return statement


def _principal(principals: tuple[str, ...]) -> Json:
    maps: dict[str, list[str]] = {}
    for each in principals:
        kind, name = {"S:": ("Service", each[2:]), "F:": ("Federated", each[2:])}.get(each[:2], ("AWS", each))
        maps.setdefault(kind, []).append(name)
    return maps


__all__ = [
    "ALICE", "ALICE_ID", "AWAY", "AWAY_ROLE", "AWAY_ROOT", "AWAY_SESSION", "BOB", "CAROL", "HOME", "KEY",
    "PROVIDER", "ROLE", "ROLE_ID", "ROOT", "SERVICE", "SESSION", "Json", "Principal", "alice", "allow", "away_reader",
    "away_root", "backup", "bob", "carol", "compiled", "deny", "document", "other_worker", "others", "pod",
    "pod_session", "root", "values_of", "worker",
]  # fmt: skip
