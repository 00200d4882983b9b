"""When KMS keys and access keys were last used. A key's KeyUsage, which says what it is for, is in ``keys``."""
