"""Strongroom: a self-hosted key management service that speaks the AWS KMS wire protocol."""

__version__ = "0.1.0"
