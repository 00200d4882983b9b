"""KMS keys and grants: their types and their changes. Nothing here depends on requests, policy decisions or storage.

Concepts, with the modules that they are in:

* ``kms_key``, ``specs``, ``algorithms``: a logical key around its backing keys, and what it can be used for.
* ``states``: which operation each key state allows. ``lifecycle``, ``imported``, ``multi_region``: the changes.
* ``arns``, ``names``: the identifiers of keys and aliases, and the rules for names and tags.
* ``key_policy``, ``grants``: the key policy as text, and grants with their constraints.
* ``ciphertext``, ``encryption_context``, ``wrapping``: formats.
* ``custom_key_stores``: back ends for key material outside the service.

Everything here is pure: no I/O, no clock, no randomness. A change takes a key and returns a new one.
"""
