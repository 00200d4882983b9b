"""Key stores of type AWS_CLOUDHSM: KMS keys that are objects of a hardware token, through PKCS #11.

``configured`` has the clusters that the operator lists, ``connections`` the connections of this process to them,
``key_backend`` makes and uses keys there.
"""
