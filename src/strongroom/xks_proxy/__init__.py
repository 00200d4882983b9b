"""The protocol between AWS KMS and the proxy of an external key store. Pure: no I/O, no clock, no randomness.

* ``paths``: which call a request is for.
* ``requests``: the bodies of calls, and what is required of them.
* ``replies``: the bodies of replies, and the integrity value of a ciphertext.
* ``errors``: the errors that a proxy may answer with.
* ``registry``: proxies, their credentials and the keys that they give out, as the store keeps them.

Source: External Key Store Proxy API Specification 1.0.3, github.com/aws/aws-kms-xksproxy-api-spec.
"""
