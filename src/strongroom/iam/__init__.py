"""A policy engine that knows nothing of KMS: pure functions and frozen types."""

from strongroom.iam.compiler import CompiledPolicy, compile_policy
from strongroom.iam.decision import (
    HIDDEN,
    Decision,
    Policies,
    Reason,
    Source,
    decide,
    denial_message,
    explicit_denial,
    limited,
)
from strongroom.iam.document import MalformedPolicy, PolicyDocument, PolicyKind
from strongroom.iam.parser import parse_policy
from strongroom.iam.principals import Principal, PrincipalKind, account_root
from strongroom.iam.request import AuthorizationRequest

__all__ = [
    "HIDDEN",
    "AuthorizationRequest",
    "CompiledPolicy",
    "Decision",
    "MalformedPolicy",
    "Policies",
    "PolicyDocument",
    "PolicyKind",
    "Principal",
    "PrincipalKind",
    "Reason",
    "Source",
    "account_root",
    "compile_policy",
    "decide",
    "denial_message",
    "explicit_denial",
    "limited",
    "parse_policy",
]
