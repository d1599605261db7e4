"""An issuer of tokens: its keys, as files that runtree reads, and tokens signed with them."""

import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "runtree"
COOKIE = "__Host-runtree_session"


class Key:
    """A signing key: its algorithm, its name (`kid`), and what verifies it."""

    def __init__(self, algorithm, name, private=None):
        self.algorithm = algorithm
        self.name = name
        self.private = private or self._generate()

    def _generate(self):
        if self.algorithm.startswith(("RS", "PS")):
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if self.algorithm == "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
        if self.algorithm in curves:
            return ec.generate_private_key(curves[self.algorithm]())
        return (self.name * 64)[:64].encode()

    def jwk(self, **members):
        """As a JWKS has it."""
        public = self.private if isinstance(self.private, bytes) else self.private.public_key()
        implementation = jwt.get_algorithm_by_name(self.algorithm)
        document = json.loads(implementation.to_jwk(public))
        document.pop("key_ops", None)
        return document | {"kid": self.name, "alg": self.algorithm, "use": "sig"} | members

    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def private_pem(self):
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, claims, algorithm=None, **headers):
        return jwt.encode(
            claims,
            self.private,
            algorithm or self.algorithm,
            headers={"kid": self.name} | headers,
        )


def claims(read=(), write=(), admin=(), seconds=600, **members):
    """What a good token says; a member of None is left out."""
    document = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": time.time() + seconds if seconds % 1 else int(time.time()) + seconds,
        "runtree": {"read": list(read), "write": list(write), "admin": list(admin)},
    } | members
    return {name: value for name, value in document.items() if value is not None}


def write_jwks(path, keys):
    path.write_text(json.dumps({"keys": [key.jwk() for key in keys]}))
    return path


# The keys that the runtree of the fixture `guarded` knows, and one that it does not.
KEYS = {
    algorithm: Key(algorithm, f"key-{algorithm}")
    for algorithm in ("HS256", "RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
}
STRANGER = Key("ES256", KEYS["ES256"].name)  # the right name, the wrong key
CHECKS = ("--auth-issuer", ISSUER, "--auth-audience", AUDIENCE, "--auth-leeway-s", "0")


def token_for(algorithm="ES256", **rights):
    return KEYS[algorithm].sign(claims(**rights))
