"""The key back end of full depth: backing keys that are made, unwrapped and used in a hardware token, and nowhere else.

Outside of the token there is only what its key encryption key has wrapped, in an envelope of the Region's domain key.
``key_backend`` makes and loads keys, ``key_kind`` says what differs between kinds of keys, ``hsm_key`` is a wrapped key
whose handle in the token is made when it is first used.
"""
