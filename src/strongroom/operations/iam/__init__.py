"""The operations of IAM: one small module per kind of thing."""
