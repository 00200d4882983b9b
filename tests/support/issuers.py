"""An OpenID Connect issuer, like that of a Kubernetes cluster. It signs tokens and writes its public keys to a file."""

import base64
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://oidc.example.com/id/CLUSTER"
PROVIDER = "oidc.example.com/id/CLUSTER"
AUDIENCE = "sts.amazonaws.com"
POD = "system:serviceaccount:shop:checkout"


class Issuer:
    """Signs tokens with an RSA or an elliptic curve key.

    ``now`` is in epoch seconds, ``jwks`` is the file of the public keys.
    """

    def __init__(self, jwks: Path, now: float) -> None:
        self.jwks = jwks
        self.now = now
        self.keys: dict[str, Any] = {}
        self.add("rsa", rsa.generate_private_key(65_537, 2048))
        self.add("ec", ec.generate_private_key(ec.SECP256R1()))

    def add(self, key_id: str, key: Any) -> None:
        """Add a signing key, and publish its public key."""
        self.keys[key_id] = key
        self.publish()

    def publish(self) -> None:
        """Write the public keys atomically, by renaming a new file."""
        draft = self.jwks.with_suffix(".new")
        draft.write_text(json.dumps({"keys": [jwk(key_id, key) for key_id, key in self.keys.items()]}))
        draft.replace(self.jwks)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a service account's token; a claim changed to None is left out."""
        claims = {
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "sub": POD,
            "iat": int(self.now),
            "nbf": int(self.now),
            "exp": int(self.now) + 3600,
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "checkout"}},
        }
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, key_id: str = "rsa", **changed: Any) -> str:
        """Return a signed token."""
        algorithm = "ES256" if key_id == "ec" else "RS256"
        return jwt.encode(self.claims(**changed), self.keys[key_id], algorithm, {"kid": key_id})

    def signed(self, header: str, claims: str) -> str:
        """Return a token of exactly this JSON, signed with the RSA key, however wrong it is."""
        parts = (base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, claims))
        signed = b".".join(parts)
        signature = jwt.get_algorithm_by_name("RS256").sign(signed, self.keys["rsa"])
        return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def jwk(key_id: str, key: Any) -> dict[str, Any]:
    """Return the public key as a JSON Web Key."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"alg": "RS256"}
    else:
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"alg": "ES256"}
    return public | {"kid": key_id, "use": "sig"}
