"""Standard document formats: attestation documents, CMS and web identity tokens."""
