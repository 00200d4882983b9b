"""Standard document formats: attestation documents, CMS and web identity tokens.

``attestation`` (with ``cose``) and ``web_identity`` (with ``issuer_keys``) verify documents that callers send. Their
input is untrusted until its signature has been verified.
``cms`` encrypts answers for the recipient that an attestation document names.
"""
