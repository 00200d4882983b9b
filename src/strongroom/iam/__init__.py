"""The policy engine of IAM: documents, principals, conditions and the decision. It does not depend on KMS.

Concepts, with the modules that they are in:

* ``document``, ``parser``: a policy document in frozen types, and its strict parser.
* ``document_rules``: what a new document must meet beyond the grammar.
* ``compiler``, ``conditions``, ``condition_operators``, ``condition_values``, ``policy_variables``, ``wildcards``: a
  document compiled into functions of a request.
* ``work``: the budget of a decision.
* ``principals``: the caller, the names by which policies can refer to it, and its condition keys.
* ``request``: the authorization request. ``decision``: the decision, with the policy evaluation logic.
* ``denial_messages``: the messages of refusals.
* ``entities``, ``session``: users, groups, roles, managed policies and sessions.

Everything here is pure: no I/O, no clock, no randomness. The caller has to check whether principals exist.
"""

from strongroom.iam.compiler import CompiledPolicy, compile_policy
from strongroom.iam.decision import (
    Decision,
    Policies,
    Reason,
    Source,
    decide,
    explicit_denial,
    limited,
)
from strongroom.iam.denial_messages import (
    assume_role_denial_message,
    denial_message,
    hidden_denial_message,
)
from strongroom.iam.document import MalformedPolicy, PolicyDocument, PolicyKind
from strongroom.iam.document_rules import accept_policy
from strongroom.iam.parser import parse_policy
from strongroom.iam.principals import Principal, PrincipalKind, account_root
from strongroom.iam.request import AmbiguousConditionKey, AuthorizationRequest
from strongroom.iam.work import SIMULATION_STEPS, TooMuchWork, Work

__all__ = [
    "SIMULATION_STEPS",
    "AmbiguousConditionKey",
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
    "TooMuchWork",
    "Work",
    "accept_policy",
    "account_root",
    "assume_role_denial_message",
    "compile_policy",
    "decide",
    "denial_message",
    "explicit_denial",
    "hidden_denial_message",
    "limited",
    "parse_policy",
]
