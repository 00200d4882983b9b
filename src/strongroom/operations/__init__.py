"""The operations of the three services, and what all of them share.

Each service (``kms``, ``iam``, ``sts``) has a package with small modules, one for each capability, and a ``table`` with
one row for each action. The modules here are shared:

* ``operation``: the row of a table. ``targets``: the permissions that a call needs.
* ``shapes``, ``validation``, ``paging``: requests and responses, decoded and checked.
* ``context``: what an operation is given. ``authorization``: the decision on each target of a call.
* ``condition_parameters``, ``condition_keys``, ``condition_key_actions``: what policies can ask about a call.
* ``planned_events``: what the service does to keys by itself, for the audit log.
* ``named_principals``, ``grant_tokens``, ``recipient``: principals in requests, grant tokens, attested recipients.

An operation gets time, randomness and storage from its context. It knows neither HTTP nor signatures nor audit records.
"""
