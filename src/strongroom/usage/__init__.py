"""When KMS keys and access keys were last used; what a key may be used for is its KeyUsage, in ``keys``."""
