"""A worker's cache of the store: keys with their loaded key material, compiled policies, credentials and grants.

``snapshot`` is current at the start of every call. A cache miss reads the store, except on the event loop: there it
raises ``miss.MustWait``. Nothing here writes.
"""
