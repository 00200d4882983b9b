"""The external key store back end: keys in external key managers, used through their proxies (XKS).

Source: AWS KMS XKS Proxy API Specification, 1.0.3.
"""
