"""Self-tests of the cryptographic primitives with known answers, and of the random source.

They run when a process begins to serve, and it does not serve if one fails. A cryptographic library that is broken,
that lacks an algorithm, or whose module was replaced by a damaged one is found before it makes a key.
Source: FIPS 140-3, 7.10; Implementation Guidance for FIPS 140-3, 10.3.A.
"""
