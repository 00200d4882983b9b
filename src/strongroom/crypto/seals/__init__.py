"""Seals: implementations of ``crypto.seal``, each with a root key that protects the domain keys.

``file`` keeps the root key in a file. Only ``assembly`` may import this package.
"""
