"""The operations of KMS: keys, cryptography, aliases, policies, grants, rotation, import and custom key stores.

``table`` has one row for each action, ``targets`` finds the keys and aliases that requests name. The other modules have
the requests, responses and functions of one capability each. An operation that changes a key reads it again inside its
transaction (``key_changes``). Rules about keys belong to ``strongroom.keys``, cryptography to ``strongroom.crypto``.
"""
