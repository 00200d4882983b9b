"""The operations of IAM: users, groups, roles, managed policies, access keys and the simulation of policies.

Each kind of entity has a module, and so has each aspect that several kinds share: ``attachments``, ``boundaries``,
``inline_policies``, ``policy_versions``, ``tags``. ``entities`` finds, names and changes entities; ``table`` has one
row for each action. Compiled policies and cached principals do not belong here: they are in ``snapshot/principals.py``.
"""
