"""The operations of STS: temporary credentials for roles and users, and who the caller is.

``assume_role`` and ``caller`` have the operations, ``sessions`` what sessions of roles contain, ``session_tokens`` how
their credentials are made and sealed, ``table`` one row for each action. STS stores nothing.
"""
