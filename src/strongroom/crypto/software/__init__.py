"""The software key back end: key material is made and used in this process, and stored wrapped by domain keys.

Each kind of key has a module: ``aes``, ``hmac_key``, ``rsa``, ``elliptic``, ``edwards``, ``ml_dsa``, ``ml_kem``.
``private_keys`` maps key specs to them. ``unwrapping`` and ``imported_material`` decrypt and check imported material.
Only ``assembly`` may import this package, so that the rest of the service works with any other key back end.
"""
