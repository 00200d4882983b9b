"""Re-encrypts ciphertexts of one KMS under a key of another, where they are: in files, rows or objects.

``migration`` takes them one after another, ``ciphertexts`` calls both services, ``journal`` remembers what was done.
``files``, ``rows`` and ``objects`` are the places; each gives its ciphertexts as ``items``.
"""
