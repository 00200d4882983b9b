"""Decisions, one case a line. ``key`` is the key policy, ``iam`` the caller's own, then boundary and session."""

from typing import Any

import msgspec
import pytest

from policies import (
    ALICE,
    ALICE_ID,
    AWAY,
    AWAY_ROLE,
    AWAY_ROOT,
    AWAY_SESSION,
    BOB,
    CAROL,
    HOME,
    KEY,
    PROVIDER,
    ROLE,
    ROLE_ID,
    ROOT,
    SERVICE,
    SESSION,
    Json,
    alice,
    allow,
    away_reader,
    away_root,
    backup,
    bob,
    carol,
    compiled,
    deny,
    other_worker,
    others,
    pod,
    pod_session,
    root,
    values_of,
    worker,
)  # fmt: skip
from strongroom.iam import AuthorizationRequest, Policies, PolicyKind, Principal, Reason, Source, decide

YES_BY_KEY = (True, Source.RESOURCE_POLICY, Reason.ALLOWED)
YES_BY_IAM = (True, Source.IDENTITY_POLICY, Reason.ALLOWED)
YES_BY_GRANT = (True, Source.GRANT, Reason.ALLOWED)
YES_BY_ROOT = (True, Source.ROOT, Reason.ALLOWED)
NO_BY_KEY = (False, Source.RESOURCE_POLICY, Reason.NOT_ALLOWED)
NO_BY_IAM = (False, Source.IDENTITY_POLICY, Reason.NOT_ALLOWED)
NO_BY_BOUNDARY = (False, Source.BOUNDARY, Reason.NOT_ALLOWED)
NO_BY_SESSION = (False, Source.SESSION_POLICY, Reason.NOT_ALLOWED)
DENIED_BY_KEY = (False, Source.RESOURCE_POLICY, Reason.EXPLICIT_DENY)
DENIED_BY_IAM = (False, Source.IDENTITY_POLICY, Reason.EXPLICIT_DENY)
DENIED_BY_BOUNDARY = (False, Source.BOUNDARY, Reason.EXPLICIT_DENY)
DENIED_BY_SESSION = (False, Source.SESSION_POLICY, Reason.EXPLICIT_DENY)
HIDDEN = (False, Source.RESOURCE_POLICY, Reason.HIDDEN)

USE = ["kms:Encrypt", "kms:Decrypt"]
DELEGATE = [allow(ROOT)]
ANY = [allow("*")]
ALL = [allow()]


class Case(msgspec.Struct):
    """A request and its decision. ``key`` is None where the resource has no policy."""

    caller: Principal
    expected: tuple[bool, Source, Reason]
    key: list[Json] | None = None
    iam: list[Json] | None = None
    boundary: list[Json] | None = None
    session: list[Json] | None = None
    grant: str | None = None
    do: str = "kms:Encrypt"
    on: str = KEY
    context: dict[str, Any] = {}


# fmt: off
CASES = {
    # --- the same account: the key policy first
    "no statement matches": Case(alice, NO_BY_KEY, key=[allow(BOB)]),
    "an identity policy alone is worth nothing": Case(alice, NO_BY_KEY, key=[allow(BOB)], iam=ALL),
    "the key policy names the user": Case(alice, YES_BY_KEY, key=[allow(ALICE)]),
    "the key policy names the user by unique id": Case(alice, YES_BY_KEY, key=[allow(ALICE_ID)]),
    "the key policy names a user with a path": Case(bob, YES_BY_KEY, key=[allow(BOB)]),
    "a path is part of the name": Case(bob, NO_BY_KEY, key=[allow(f"arn:aws:iam::{HOME}:user/bob")]),
    "names mind case": Case(alice, NO_BY_KEY, key=[allow(f"arn:aws:iam::{HOME}:user/Alice")]),
    "one of several principals": Case(alice, YES_BY_KEY, key=[allow(BOB, ALICE)]),
    "one of several statements": Case(alice, YES_BY_KEY, key=[allow(BOB), allow(ALICE)]),
    "delegated, identity policy allows": Case(alice, YES_BY_IAM, key=DELEGATE, iam=ALL),
    "delegated, identity policy silent": Case(alice, NO_BY_IAM, key=DELEGATE),
    "delegated, identity policy allows another action": Case(alice, NO_BY_IAM, key=DELEGATE, iam=[allow(do="kms:Decrypt")]),
    "delegated for another action only": Case(alice, NO_BY_KEY, key=[allow(ROOT, do="kms:Decrypt")], iam=ALL),
    "delegated by the bare account id": Case(alice, YES_BY_IAM, key=[allow(HOME)], iam=ALL),
    "delegated to another account": Case(alice, NO_BY_KEY, key=[allow(AWAY_ROOT)], iam=ALL),
    "two identity policies, the second allows": Case(alice, YES_BY_IAM, key=DELEGATE, iam=[allow(do="kms:Sign"), allow()]),
    "everyone": Case(alice, YES_BY_KEY, key=ANY),
    "everyone needs no identity policy": Case(bob, YES_BY_KEY, key=ANY, iam=[]),
    # --- the root
    "the root where the policy names the account": Case(root, YES_BY_KEY, key=DELEGATE),
    "the root has no built-in access to a key": Case(root, NO_BY_KEY, key=[allow(ALICE)]),
    "the root where everyone may": Case(root, YES_BY_KEY, key=ANY),
    "the root is not a user": Case(root, NO_BY_KEY, key=[allow(ALICE, BOB, ROLE)]),
    "the root denied": Case(root, DENIED_BY_KEY, key=[allow(ROOT), deny(ROOT)]),
    "the root without any resource": Case(root, YES_BY_ROOT, do="kms:CreateKey", on="*"),
    # --- actions without a resource policy
    "a user may what the identity policy says": Case(alice, YES_BY_IAM, iam=[allow(do="kms:CreateKey")], do="kms:CreateKey", on="*"),
    "a user may nothing without": Case(alice, NO_BY_IAM, do="kms:CreateKey", on="*"),
    "a session may what its role may": Case(worker, YES_BY_IAM, iam=ALL, do="kms:ListKeys", on="*"),
    "an identity policy for one key does not cover all": Case(alice, NO_BY_IAM, iam=[allow(on=KEY)], do="kms:CreateKey", on="*"),
    "an explicit deny without a resource policy": Case(alice, DENIED_BY_IAM, iam=[allow(), deny(do="kms:ListKeys")], do="kms:ListKeys", on="*"),
    # --- explicit denials
    "a deny in the key policy beats its allow": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), deny(ALICE)]),
    "order of statements is irrelevant": Case(alice, DENIED_BY_KEY, key=[deny(ALICE), allow(ALICE)]),
    "a deny for everyone": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), deny("*")]),
    "a deny for the account": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), deny(ROOT)]),
    "a deny for another account": Case(alice, YES_BY_KEY, key=[allow(ALICE), deny(AWAY_ROOT)]),
    "a deny for another action": Case(alice, YES_BY_KEY, key=[allow(ALICE), deny(ALICE, do="kms:Decrypt")]),
    "a deny whose condition fails": Case(alice, YES_BY_KEY, key=[allow(ALICE), deny(ALICE, when={"Bool": {"aws:SecureTransport": "false"}})], context={"aws:SecureTransport": "true"}),
    "a deny whose condition holds": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), deny(ALICE, when={"Bool": {"aws:SecureTransport": "false"}})], context={"aws:SecureTransport": "false"}),
    "a deny in the identity policy beats the key policy": Case(alice, DENIED_BY_IAM, key=[allow(ALICE)], iam=[deny()]),
    "a deny in the boundary beats the key policy": Case(alice, DENIED_BY_BOUNDARY, key=[allow(ALICE)], boundary=[allow(), deny(do="kms:Encrypt")]),
    "a deny in the session policy beats the key policy": Case(worker, DENIED_BY_SESSION, key=[allow(SESSION)], session=[allow(), deny(do="kms:Enc*")]),
    "a deny beats a grant": Case(alice, DENIED_BY_IAM, key=DELEGATE, iam=[deny()], grant="g"),
    "a deny in the key policy beats a grant": Case(alice, DENIED_BY_KEY, key=[allow(ROOT), deny(ALICE)], grant="g"),
    # --- roles and their sessions
    "a role named by its ARN": Case(worker, YES_BY_KEY, key=[allow(ROLE)]),
    "a role named by its unique id": Case(worker, YES_BY_KEY, key=[allow(ROLE_ID)]),
    "a session named by its ARN": Case(worker, YES_BY_KEY, key=[allow(SESSION)]),
    "another session of the role": Case(other_worker, NO_BY_KEY, key=[allow(SESSION)]),
    "a role without its path is another role": Case(worker, NO_BY_KEY, key=[allow(f"arn:aws:iam::{HOME}:role/Worker")]),
    "a deny for the role covers its sessions": Case(worker, DENIED_BY_KEY, key=[allow(SESSION), deny(ROLE)]),
    "a role is not a user": Case(worker, NO_BY_KEY, key=[allow(ALICE)]),
    "a session, delegated": Case(worker, YES_BY_IAM, key=DELEGATE, iam=ALL),
    "a session, delegated, role silent": Case(worker, NO_BY_IAM, key=DELEGATE),
    # --- session policies
    "a session policy filters the role's allow": Case(worker, NO_BY_SESSION, key=[allow(ROLE)], session=[allow(do="kms:Decrypt")]),
    "a session policy that allows too": Case(worker, YES_BY_KEY, key=[allow(ROLE)], session=[allow(do="kms:Encrypt")]),
    "a session named directly is not limited by it": Case(worker, YES_BY_KEY, key=[allow(SESSION)], session=[allow(do="kms:Decrypt")]),
    "a session policy filters identity policies": Case(worker, NO_BY_SESSION, key=DELEGATE, iam=ALL, session=[allow(do="kms:Decrypt")]),
    "a session policy adds nothing": Case(worker, NO_BY_IAM, key=DELEGATE, session=ALL),
    "a session policy filters everyone": Case(worker, NO_BY_SESSION, key=ANY, session=[allow(do="kms:Decrypt")]),
    "a session policy filters a grant": Case(worker, NO_BY_SESSION, key=DELEGATE, grant="g", session=[allow(do="kms:Decrypt")]),
    "a session policy for this key": Case(worker, YES_BY_IAM, key=DELEGATE, iam=ALL, session=[allow(on=KEY)]),
    # --- boundaries
    "a boundary filters identity policies": Case(alice, NO_BY_BOUNDARY, key=DELEGATE, iam=ALL, boundary=[allow(do="kms:Decrypt")]),
    "a boundary that allows too": Case(alice, YES_BY_IAM, key=DELEGATE, iam=ALL, boundary=ALL),
    "a boundary grants nothing": Case(alice, NO_BY_IAM, key=DELEGATE, boundary=ALL),
    "a boundary does not limit a user named directly": Case(alice, YES_BY_KEY, key=[allow(ALICE)], boundary=[allow(do="kms:Decrypt")]),
    "a boundary limits a role named by its ARN": Case(worker, NO_BY_BOUNDARY, key=[allow(ROLE)], boundary=[allow(do="kms:Decrypt")]),
    "a boundary limits everyone": Case(alice, NO_BY_BOUNDARY, key=ANY, boundary=[allow(do="kms:Decrypt")]),
    "a boundary limits a grant": Case(alice, NO_BY_BOUNDARY, key=DELEGATE, grant="g", boundary=[allow(do="kms:Decrypt")]),
    "boundary and session must both allow": Case(worker, NO_BY_SESSION, key=[allow(ROLE)], boundary=ALL, session=[allow(do="kms:Sign")]),
    "a boundary limits actions without a resource": Case(alice, NO_BY_BOUNDARY, iam=ALL, boundary=[allow(do="kms:Sign")], do="kms:CreateKey", on="*"),
    # --- grants
    "a grant allows": Case(alice, YES_BY_GRANT, key=DELEGATE, grant="g"),
    "a grant allows without delegation": Case(alice, YES_BY_GRANT, key=[allow(BOB)], grant="g"),
    "a grant to a session": Case(worker, YES_BY_GRANT, key=[allow(BOB)], grant="g"),
    "the key policy comes before the grant": Case(alice, YES_BY_KEY, key=[allow(ALICE)], grant="g"),
    # --- other accounts
    "another account, key policy and identity policy": Case(carol, YES_BY_IAM, key=[allow(CAROL)], iam=ALL),
    "another account, key policy only": Case(carol, NO_BY_IAM, key=[allow(CAROL)]),
    "another account, identity policy only": Case(carol, HIDDEN, key=DELEGATE, iam=ALL),
    "another account as a whole": Case(carol, YES_BY_IAM, key=[allow(AWAY_ROOT)], iam=ALL),
    "another account as a whole by its id": Case(carol, YES_BY_IAM, key=[allow(AWAY)], iam=ALL),
    "another account as a whole, identity policy silent": Case(carol, NO_BY_IAM, key=[allow(AWAY_ROOT)]),
    "everyone includes other accounts": Case(carol, YES_BY_IAM, key=ANY, iam=ALL),
    "everyone, but the identity policy is silent": Case(carol, NO_BY_IAM, key=ANY),
    "another account's root": Case(away_root, YES_BY_ROOT, key=[allow(AWAY_ROOT)]),
    "another account's root not named": Case(away_root, HIDDEN, key=DELEGATE),
    "a grant across accounts": Case(carol, YES_BY_IAM, key=DELEGATE, iam=ALL, grant="g"),
    "a grant across accounts needs an identity policy": Case(carol, NO_BY_IAM, key=DELEGATE, grant="g"),
    "a deny across accounts is hidden": Case(carol, HIDDEN, key=[allow(CAROL), deny(CAROL)], iam=ALL),
    "a deny at home is shown": Case(carol, DENIED_BY_IAM, key=[allow(CAROL)], iam=[deny()]),
    "a role across accounts": Case(away_reader, YES_BY_IAM, key=[allow(AWAY_ROLE)], iam=ALL),
    "a session across accounts, role silent": Case(away_reader, NO_BY_IAM, key=[allow(AWAY_SESSION)]),
    "a boundary across accounts": Case(carol, NO_BY_BOUNDARY, key=[allow(CAROL)], iam=ALL, boundary=[allow(do="kms:Sign")]),
    "a session policy across accounts": Case(away_reader, NO_BY_SESSION, key=[allow(AWAY_ROLE)], iam=ALL, session=[allow(do="kms:Sign")]),
    # --- services, providers
    "a service the key policy names": Case(backup, YES_BY_KEY, key=[allow(f"S:{SERVICE}")]),
    "another service": Case(backup, HIDDEN, key=[allow("S:logs.amazonaws.com")]),
    "a service and the account": Case(backup, HIDDEN, key=DELEGATE),
    "a service by grant": Case(backup, YES_BY_GRANT, key=DELEGATE, grant="g"),
    "a service denied": Case(backup, HIDDEN, key=[allow(f"S:{SERVICE}"), deny(f"S:{SERVICE}")]),
    "a service's name is no ARN": Case(alice, NO_BY_KEY, key=[allow(f"S:{SERVICE}")]),
    "a provider's own session": Case(pod_session, YES_BY_KEY, key=[allow(f"F:{PROVIDER}")]),
    "a provider, for others": Case(worker, NO_BY_KEY, key=[allow(f"F:{PROVIDER}")]),
    "the bearer of a token": Case(pod, YES_BY_KEY, key=[allow(f"F:{PROVIDER}")]),
    # --- NotPrincipal
    "all but bob, asked by alice": Case(alice, YES_BY_KEY, key=[others("Allow", BOB)]),
    "all but alice, asked by alice": Case(alice, NO_BY_KEY, key=[others("Allow", ALICE)]),
    "all but the account": Case(alice, NO_BY_KEY, key=[others("Allow", ROOT)]),
    "deny all but alice and her account": Case(alice, YES_BY_KEY, key=[allow(ALICE), others("Deny", ALICE, ROOT)]),
    "deny all but alice, forgetting her account": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), others("Deny", ALICE)]),
    "deny all but alice, asked by bob": Case(bob, DENIED_BY_KEY, key=[allow(BOB), others("Deny", ALICE, ROOT)]),
    "deny all but a session, its role and its account": Case(worker, YES_BY_KEY, key=[allow(ROLE), others("Deny", SESSION, ROLE, ROOT)]),
    "deny all but a role, forgetting the session": Case(worker, DENIED_BY_KEY, key=[allow(ROLE), others("Deny", ROLE, ROOT)]),
    "deny all but the root, asked by the root": Case(root, YES_BY_KEY, key=[allow(ROOT), others("Deny", ROOT)]),
    # --- actions
    "an action by name": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="kms:Encrypt")]),
    "an action in any case": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="KMS:encrypt")]),
    "an action list": Case(alice, YES_BY_KEY, key=[allow(ALICE, do=USE)]),
    "an action not in the list": Case(alice, NO_BY_KEY, key=[allow(ALICE, do=USE)], do="kms:Sign"),
    "an action prefix": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="kms:Enc*")]),
    "an action prefix of another": Case(alice, NO_BY_KEY, key=[allow(ALICE, do="kms:Enc*")], do="kms:Decrypt"),
    "an action with a question mark": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="kms:??crypt")]),
    "a question mark is one character": Case(alice, NO_BY_KEY, key=[allow(ALICE, do="kms:?crypt")]),
    "stars inside": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="kms:Generate*Without*")], do="kms:GenerateDataKeyWithoutPlaintext"),
    "stars inside that do not match": Case(alice, NO_BY_KEY, key=[allow(ALICE, do="kms:Generate*Without*")], do="kms:GenerateDataKey"),
    "ReEncrypt* covers both halves": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="kms:ReEncrypt*")], do="kms:ReEncryptTo"),
    "every action": Case(alice, YES_BY_KEY, key=[allow(ALICE, do="*")]),
    "another service's actions": Case(alice, NO_BY_KEY, key=[allow(ALICE, do="s3:*")]),
    "all but an action": Case(alice, YES_BY_KEY, key=[allow(ALICE, NotAction="kms:Decrypt")]),
    "all but this action": Case(alice, NO_BY_KEY, key=[allow(ALICE, NotAction=["kms:Decrypt", "kms:enc*"])]),
    "deny all but an action": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), deny(ALICE, NotAction="kms:Decrypt")]),
    "a statement without an action has no effect": Case(alice, NO_BY_KEY, key=[{"Effect": "Allow", "Principal": {"AWS": ALICE}, "Resource": "*"}]),
    # --- resources
    "this key": Case(alice, YES_BY_KEY, key=[allow(ALICE, on=KEY)]),
    "another key": Case(alice, NO_BY_KEY, key=[allow(ALICE, on=KEY[:-1] + "c")]),
    "keys of the Region": Case(alice, YES_BY_KEY, key=[allow(ALICE, on=f"arn:aws:kms:us-east-1:{HOME}:key/*")]),
    "keys of another Region": Case(alice, NO_BY_KEY, key=[allow(ALICE, on=f"arn:aws:kms:eu-west-1:{HOME}:key/*")]),
    "any Region by a star": Case(alice, YES_BY_IAM, key=DELEGATE, iam=[allow(on=f"arn:aws:kms:*:{HOME}:key/*")]),
    "aliases only": Case(alice, NO_BY_IAM, key=DELEGATE, iam=[allow(on="arn:aws:kms:*:*:alias/*")]),
    "all but this key": Case(alice, NO_BY_KEY, key=[allow(ALICE, NotResource=KEY)]),
    "all but another key": Case(alice, YES_BY_KEY, key=[allow(ALICE, NotResource=KEY[:-1] + "c")]),
    "all but everything": Case(alice, NO_BY_KEY, key=[allow(ALICE, NotResource="*")]),
    "a statement without a resource has no effect": Case(alice, NO_BY_KEY, key=[allow(ALICE, on=None)]),
    "resources mind case": Case(alice, NO_BY_KEY, key=[allow(ALICE, on=KEY.upper())]),
    # --- variables
    "a variable in a resource": Case(alice, YES_BY_IAM, iam=[allow(on="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "a variable of another user": Case(bob, NO_BY_IAM, iam=[allow(on="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "an unset variable": Case(worker, NO_BY_IAM, iam=[allow(on="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "a variable with a default": Case(worker, YES_BY_IAM, iam=[allow(on="arn:aws:iam::*:user/${aws:username, 'alice'}")], on=ALICE),
    "a tag as a variable": Case(alice, YES_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"kms:EncryptionContext:team": "${aws:PrincipalTag/team}"}})], context={"kms:EncryptionContext:team": "red"}),
    "a tag as a variable, another team": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"kms:EncryptionContext:team": "${aws:PrincipalTag/team}"}})], context={"kms:EncryptionContext:team": "blue"}),
    "a variable in a deny that cannot be filled": Case(bob, YES_BY_KEY, key=[allow(BOB), deny(BOB, when={"StringEquals": {"a:k": "${aws:PrincipalTag/team}"}})], context={"a:k": "red"}),
    "a deny of all but the caller's own, asked without a value": Case(bob, DENIED_BY_KEY, key=[allow(BOB), deny(BOB, when={"StringNotEquals": {"a:k": "${aws:PrincipalTag/team}"}})], context={"a:k": "red"}),
    "a deny of all but the caller's own, asked with the value": Case(alice, YES_BY_KEY, key=[allow(ALICE), deny(ALICE, when={"StringNotEquals": {"a:k": "${aws:PrincipalTag/team}"}})], context={"a:k": "red"}),
    "a deny of all but what matches a pattern without a value": Case(bob, DENIED_BY_KEY, key=[allow(BOB), deny(BOB, when={"StringNotLike": {"a:k": "${aws:PrincipalTag/team}*"}})], context={"a:k": "red"}),
    "a deny of all but an ARN without a value": Case(bob, DENIED_BY_KEY, key=[allow(BOB), deny(BOB, when={"ArnNotLike": {"a:k": "arn:aws:iam::*:role/${aws:PrincipalTag/team}"}})], context={"a:k": ROLE}),
    "a deny of all but an address without a value": Case(bob, DENIED_BY_KEY, key=[allow(BOB), deny(BOB, when={"NotIpAddress": {"a:k": "${aws:PrincipalTag/home}"}})], context={"a:k": "192.0.2.1"}),
    "the other values of a deny count beside one without a value": Case(bob, DENIED_BY_KEY, key=[allow(BOB), deny(BOB, when={"StringEquals": {"a:k": ["secret", "${aws:PrincipalTag/team}"]}})], context={"a:k": "secret"}),
    "the other values spare a request beside one without a value": Case(bob, YES_BY_KEY, key=[allow(BOB), deny(BOB, when={"StringNotEquals": {"a:k": ["public", "${aws:PrincipalTag/team}"]}})], context={"a:k": "public"}),
    "an allow of all but a value that is not set": Case(bob, YES_BY_KEY, key=[allow(BOB, when={"StringNotEquals": {"a:k": "${aws:PrincipalTag/team}"}})], context={"a:k": "red"}),
    "a deny of all but a resource without a value": Case(worker, DENIED_BY_IAM, iam=[allow(do="*"), deny(do="*", NotResource="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "a deny of all but the caller itself, asked by it": Case(alice, YES_BY_IAM, iam=[allow(do="*"), deny(do="*", NotResource="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "a deny of all but two resources, one without a value": Case(worker, YES_BY_IAM, iam=[allow(do="*"), deny(do="*", NotResource=[ALICE, "arn:aws:iam::*:user/${aws:username}"])], on=ALICE),
    "an allow of all but a resource without a value": Case(worker, NO_BY_IAM, iam=[allow(do="*", NotResource="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "a deny of a resource without a value": Case(worker, YES_BY_IAM, iam=[allow(do="*"), deny(do="*", on="arn:aws:iam::*:user/${aws:username}")], on=ALICE),
    "a star in a value is no wildcard": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringLike": {"a:k": "${a:v}"}})], context={"a:k": "red", "a:v": "*"}),
    "an escaped star": Case(alice, YES_BY_KEY, key=[allow(ALICE, when={"StringLike": {"a:k": "x${*}"}})], context={"a:k": "x*"}),
    "an escaped star matches only itself": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringLike": {"a:k": "x${*}"}})], context={"a:k": "xyz"}),
    "an escaped dollar": Case(alice, YES_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"a:k": "${$}{x}"}})], context={"a:k": "${x}"}),
    "a variable with several values": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"a:k": "${a:v}"}})], context={"a:k": "x", "a:v": ["x", "y"]}),
    "a variable with several values in a deny": Case(alice, DENIED_BY_KEY, key=[allow(ALICE), deny(ALICE, when={"StringEquals": {"a:k": "${a:v}"}})], context={"a:k": "x", "a:v": ["y", "z"]}),
    "a variable with several values in an allow of all others": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringNotEquals": {"a:k": "${a:v}"}})], context={"a:k": "x", "a:v": ["y", "z"]}),
    "a tag key with spaces as a variable": Case(bob, YES_BY_KEY, key=[allow(BOB, when={"StringEquals": {"a:k": "${aws:PrincipalTag/cost center, 'none'}"}})], context={"a:k": "none"}),
    # --- who the caller is, as condition keys
    "aws:PrincipalArn of a user": Case(alice, YES_BY_KEY, key=[allow("*", when={"ArnEquals": {"aws:PrincipalArn": ALICE}})]),
    "aws:PrincipalArn of a session is its role": Case(worker, YES_BY_KEY, key=[allow("*", when={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/service/*"}})]),
    "aws:PrincipalAccount": Case(carol, HIDDEN, key=[allow("*", when={"StringEquals": {"aws:PrincipalAccount": HOME}})], iam=ALL),
    "aws:PrincipalType": Case(worker, YES_BY_KEY, key=[allow("*", when={"StringEquals": {"aws:PrincipalType": "AssumedRole"}})]),
    "aws:PrincipalTag minds no case of its key": Case(alice, YES_BY_KEY, key=[allow("*", when={"StringEquals": {"aws:PrincipalTag/TEAM": "red"}})]),
    "aws:PrincipalTag with a letter whose lower case is itself": Case(alice, YES_BY_KEY, key=[allow("*", when={"StringEquals": {"aws:PrincipalTag/co\u017ft": "42"}})]),
    "aws:userid of a user": Case(alice, YES_BY_KEY, key=[allow("*", when={"StringEquals": {"aws:userid": ALICE_ID}})]),
    "aws:userid of a session": Case(worker, YES_BY_KEY, key=[allow("*", when={"StringLike": {"aws:userid": f"{ROLE_ID}:*"}})]),
    "aws:username of a user": Case(bob, YES_BY_KEY, key=[allow("*", when={"StringEquals": {"aws:username": "bob"}})]),
    "aws:username of a session is missing": Case(worker, NO_BY_KEY, key=[allow("*", when={"StringLike": {"aws:username": "*"}})]),
    "aws:PrincipalIsAWSService": Case(backup, YES_BY_KEY, key=[allow(f"S:{SERVICE}", when={"Bool": {"aws:PrincipalIsAWSService": "true"}})]),
    "the request cannot say who the caller is": Case(alice, NO_BY_KEY, key=[allow("*", when={"StringEquals": {"aws:PrincipalTag/admin": "yes"}})], context={"aws:PrincipalTag/admin": "yes"}),
    # --- several conditions
    "two operators must both hold": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"a:k": "x"}, "Bool": {"a:b": "true"}})], context={"a:k": "x", "a:b": "false"}),
    "two keys must both hold": Case(alice, NO_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"a:k": "x", "a:l": "y"}})], context={"a:k": "x", "a:l": "z"}),
    "two keys that both hold": Case(alice, YES_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"a:k": "x", "a:l": "y"}})], context={"a:k": "x", "a:l": "y"}),
    "a condition key minds no case": Case(alice, YES_BY_KEY, key=[allow(ALICE, when={"StringEquals": {"A:K": "x"}})], context={"a:k": "x"}),
}
# fmt: on


@pytest.mark.parametrize("name", CASES)
def test_decision(name: str) -> None:
    case = CASES[name]
    request = AuthorizationRequest(case.caller, case.do, case.on, values_of(case.context))
    decision = decide(request, policies_of(case))
    assert (decision.allowed, decision.source, decision.reason) == case.expected


def policies_of(case: Case) -> Policies:
    def own(statements: list[Json] | None) -> list[Any]:
        # One document a statement: how they are spread over documents must not matter.
        return [compiled(PolicyKind.IDENTITY, each) for each in statements or ()]

    return Policies(
        resource=None if case.key is None else compiled(PolicyKind.RESOURCE, *case.key),
        identity=own(case.iam),
        boundary=own(case.boundary),
        session=own(case.session),
        grant=case.grant,
    )


def test_the_table_has_at_least_165_cases() -> None:
    assert len(CASES) >= 165


def test_documents_of_version_2008_have_no_policy_variables() -> None:
    statement = allow(ALICE, when={"StringEquals": {"a:k": "${aws:username}"}})
    for version, text in (("2012-10-17", "alice"), ("2008-10-17", "${aws:username}")):
        policy = Policies(resource=compiled(PolicyKind.RESOURCE, statement, version=version))
        request = AuthorizationRequest(alice, "kms:Encrypt", KEY, values_of({"a:k": text}))
        assert decide(request, policy).allowed
