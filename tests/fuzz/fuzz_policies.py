"""Fuzz target: policy documents, parsed, compiled and asked for decisions."""

from contextlib import suppress

from policies import KEY, alice, carol, root, worker
from strongroom.iam import (
    AmbiguousConditionKey,
    AuthorizationRequest,
    MalformedPolicy,
    Policies,
    PolicyKind,
    Source,
    accept_policy,
    compile_policy,
    decide,
    parse_policy,
)
from strongroom.iam.work import TooMuchWork

_KINDS = tuple(PolicyKind)
_MAX_LENGTH = 32_768
_VALUES = {"aws:sourceip": ["10.0.0.1"], "aws:securetransport": ["false"], "kms:encryptioncontext:a": ["b"]}


def fuzz_policy(data: bytes) -> None:
    """Parse the document after the first byte, as a policy of the kind that this byte selects; ask it four times."""
    kind, text = _KINDS[data[0] % len(_KINDS)] if data else _KINDS[0], data[1:_MAX_LENGTH].decode(errors="replace")
    try:
        document = parse_policy(text, kind)
    except MalformedPolicy:
        return
    assert parse_policy(text, kind) == document
    with suppress(MalformedPolicy):
        accept_policy(text, kind)
    compiled = compile_policy(document)
    is_identity = kind is PolicyKind.IDENTITY
    policies = Policies(identity=(compiled,)) if is_identity else Policies(resource=compiled)
    for principal in (alice, carol, root, worker):
        request = AuthorizationRequest(principal, "kms:Encrypt", KEY, _VALUES.get)
        try:
            first = decide(request, policies)
        except (TooMuchWork, AmbiguousConditionKey):
            continue
        again = AuthorizationRequest(principal, "kms:Encrypt", KEY, _VALUES.get)
        assert decide(again, policies) == first
        if first.allowed and first.source is not Source.ROOT:
            # Nothing is allowed but by a statement that says so, or to the root of the account.
            assert "Allow" in text or "\\u" in text
