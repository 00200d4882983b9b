"""Keys in a hardware security module, through PKCS #11 (Cryptoki 2.40, OASIS).

``cryptoki`` binds the functions of a module, ``calls`` makes typed calls of them with ``mechanisms``, ``return_codes``
says what their failures mean. ``module`` loads a module once, and initializes it again when it lost its token.
``token`` is what others use: it runs work with a session, on threads of its own. ``known_answers`` tests a token
whenever it was connected. ``aes_keys`` has the AES-256 keys that never leave it, ``wrapping`` those of Regions and
seals.
"""
