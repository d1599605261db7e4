"""Where keys come from: every form of file that somebody may give, at the start and at a SIGHUP.

Whatever a file holds, a token signed with its bytes is let in only if the file was declared to be a
secret: what is public must not become one.
"""

import base64
import datetime
import hmac
import json
import re
import signal

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client import until
from runtree import Runtree, run_to_exit
from tokens import KEYS, Key, claims

RS, ES, ED = KEYS["RS256"], KEYS["ES256"], KEYS["EdDSA"]
CLIENT = httpx.Client()
SECRET = Key("HS256", "s", b"correct horse battery staple, and more")


def certificate():
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    day = datetime.datetime(2026, 1, 1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(RS.private.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(days=36500))
        .sign(RS.private, hashes.SHA256())
    )


def public(key, encoding=Encoding.PEM, form=PublicFormat.SubjectPublicKeyInfo):
    return key.public_key().public_bytes(encoding, form)


def jwks(*keys):
    return json.dumps({"keys": list(keys)}).encode()


DER = public(RS.private, Encoding.DER)
CERTIFICATE_DER = certificate().public_bytes(Encoding.DER)
BARE_BASE64 = base64.b64encode(DER)
SSH = public(ES.private, Encoding.OpenSSH, PublicFormat.OpenSSH)
SSH2 = b"---- BEGIN SSH2 PUBLIC KEY ----\n%s\n---- END SSH2 PUBLIC KEY ----\n" % SSH.split()[1]
PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body></body></html>\n"
ADDRESS = b"https://issuer.example/realms/x/protocol/openid-connect/certs\n"
JWKS = jwks(RS.jwk())
RSA_1024 = rsa.generate_private_key(public_exponent=65537, key_size=1024)
DSA = dsa.generate_private_key(key_size=2048)

# What each form is refused with.
REFUSED = {
    "DER key": (DER, "DER"),
    "DER PKCS#1": (public(RS.private, Encoding.DER, PublicFormat.PKCS1), "DER"),
    "DER Ed25519 key": (public(ED.private, Encoding.DER), "DER"),
    "DER certificate": (CERTIFICATE_DER, "DER"),
    "bare base64 key": (BARE_BASE64, "base64"),
    "bare base64 key in lines": (base64.encodebytes(DER), "base64"),
    "bare base64 certificate": (base64.b64encode(CERTIFICATE_DER), "base64"),
    "JWKS in UTF-16": (JWKS.decode().encode("utf-16"), "UTF-16"),
    "JWKS in UTF-16 without a mark": (JWKS.decode().encode("utf-16-le"), "UTF-8"),
    "SSH2": (SSH2, "SSH"),
    "ssh-rsa": (public(RS.private, Encoding.OpenSSH, PublicFormat.OpenSSH), "SSH"),
    "ssh-ed25519": (public(ED.private, Encoding.OpenSSH, PublicFormat.OpenSSH), "SSH"),
    "ecdsa": (SSH, "SSH"),
    "address": (ADDRESS, "address"),
    "page": (PAGE, "page"),
    "JSON string": (json.dumps(BARE_BASE64.decode()).encode(), "neither"),
    "JSON list": (json.dumps([RS.jwk()]).encode(), "neither"),
    "JSON object": (b'{"issuer": "https://issuer.example", "jwks_uri": "x"}', "neither"),
    "Keycloak's realm": (json.dumps({"public_key": BARE_BASE64.decode()}).encode(), "neither"),
    "Google's certificates": (json.dumps({"k": RS.pem().decode()}).encode(), "neither"),
    "keys are no list": (b'{"keys": {"kty": "RSA"}}', "neither"),
    "JWKS cut off": (JWKS[:-20], "not valid JSON"),
    "JWKS and more": (JWKS + b"\0" + JWKS, "UTF-8"),
    "secret": (SECRET.private, "neither"),
    "words": (b"the quick brown fox jumps over the lazy dog\n", "neither"),
    "empty": (b"", "empty"),
    "white space": (b" \n\t\n" * 20, "empty"),
    "mark alone": (b"\xef\xbb\xbf", "empty"),
    "private key": (RS.private_pem(), "private key"),
    "private key behind a public one": (ES.pem() + RS.private_pem(), "private key"),
    "private JWK": (
        json.dumps(ES.jwk() | {"d": base64.urlsafe_b64encode(b"d" * 32).decode()}).encode(),
        "private key",
    ),
    "private JWK of an unknown kind": (jwks({"kty": "AKP", "priv": "AAAA"}), "private key"),
    "PEM cut off": (ES.pem() + RS.pem()[:-30], "no end"),
    "PEM of nothing": (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "known"),
    "DSA key": (public(DSA), "known"),
    "short RSA key": (public(RSA_1024), "2048"),
    "JWKS without keys": (b'{"keys": []}', "no key"),
    "JWKS of unknown keys alone": (jwks({"kty": "new", "x": "AAAA"}), "no key"),
    "too many keys": (jwks(*[ES.jwk()] * 65), "more than 64"),
    "too large": (b" " * (1024 * 1024 + 1), "too large"),
}

# What each is taken as, and the key whose tokens are good then.
TAKEN = {
    "JWKS": (JWKS, RS),
    "JWK": (json.dumps(ES.jwk()).encode(), ES),
    "JWKS with a byte order mark": (b"\xef\xbb\xbf" + JWKS, RS),
    "JWKS with a secret": (jwks(SECRET.jwk()), SECRET),
    "PEM": (ES.pem(), ES),
    "PEM with a byte order mark": (b"\xef\xbb\xbf" + ES.pem(), ES),
    "PEM with words around": (b"Bag Attributes\n  x: 1\n" + ES.pem() + b"end\n", ES),
    "PEM with Windows' lines": (RS.pem().replace(b"\n", b"\r\n"), RS),
    "PKCS#1": (public(RS.private, Encoding.PEM, PublicFormat.PKCS1), RS),
    "certificate": (certificate().public_bytes(Encoding.PEM), RS),
    "several PEM": (RS.pem() + ES.pem() + ED.pem(), ED),
    "PEM with one that is too short": (public(RSA_1024) + ES.pem(), ES),
}

NUMBER = {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}
X25519 = public(x25519.X25519PrivateKey.generate(), Encoding.Raw, PublicFormat.Raw)

# Keys of a JWKS that are of no use, each with the reason that the log gives.
SKIPPED = {
    "ES256K": (
        {"kty": "EC", "crv": "secp256k1", "x": "A" * 43, "y": "A" * 43},
        "of no kind that runtree takes",
    ),
    "X25519": (
        {"kty": "OKP", "crv": "X25519", "x": base64.urlsafe_b64encode(X25519).decode()[:43]},
        "of no kind that runtree takes",
    ),
    "ML-DSA": ({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, "not known"),
    "RSA 1024": (Key("RS256", "short", RSA_1024).jwk(), "at least 2048 bits"),
    "for encryption": (RS.jwk(use="enc"), "not to verify"),
    "to sign only": (ES.jwk(key_ops=["sign"]), "not to verify"),
    "an algorithm of another kind": (RS.jwk(alg="HS256"), "its alg"),
    "an algorithm for encryption": (RS.jwk(alg="RSA-OAEP-256"), "its alg"),
    "short secret": (Key("HS256", "short", b"x" * 31).jwk(), "at least 32 bytes"),
    "long secret": (Key("HS256", "long", b"x" * 4097).jwk(), "at most 4096 bytes"),
    "no point of the curve": (NUMBER, "no key of its kind"),
    "malformed": ({"kty": "RSA"}, "malformed"),
    "no object": ("key", "malformed"),
}


def good(key):
    return key.sign(claims(admin=["*/*"], aud=None))


def by_hand(secret, hash_name):
    """A token signed with any bytes; PyJWT is too careful for that."""
    head = {"alg": "HS" + hash_name.removeprefix("sha"), "kid": "forged"}
    parts = [json.dumps(part).encode() for part in (head, claims(admin=["*/*"], aud=None))]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(secret, signed, hash_name)
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def forgeries(content):
    """Tokens signed with what everybody can read in the file."""
    mark = b"\xef\xbb\xbf"
    texts = {content, content.strip(), content.rstrip(b"\n"), content.removeprefix(mark)}
    return [by_hand(text, name) for text in texts for name in ("sha256", "sha384", "sha512")]


def status(runtree, token):
    headers = {"Authorization": f"Bearer {token}"}
    return CLIENT.get(f"{runtree.url}/v1/session", headers=headers).status_code


def metric(runtree, name):
    text = CLIENT.get(f"{runtree.url}/metrics").text
    return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])


class Reloaded:
    """A runtree whose file of keys, or of the secret, is replaced while it runs."""

    def __init__(self, folder, option, content, database):
        self.log = folder / "stderr"
        self.path = folder / "file"
        self.path.write_bytes(content)
        arguments = ("--auth", "jwt", option, str(self.path), "--metrics-open")
        self.runtree = Runtree(folder, *arguments, database_url=database).start()

    def hang_up(self, content):
        self.path.write_bytes(content)
        self.runtree.process.send_signal(signal.SIGHUP)

    def refuse(self, content, why):
        """The file changes nothing, and the log and the metrics say so."""
        failed = metric(self.runtree, "runtree_auth_reload_failed_total")
        keys = metric(self.runtree, "runtree_auth_keys")
        said = len(self.lines("the new keys cannot be used"))
        self.hang_up(content)
        until(lambda: metric(self.runtree, "runtree_auth_reload_failed_total") > failed)
        until(lambda: len(self.lines("the new keys cannot be used")) > said)
        (line,) = self.lines("the new keys cannot be used")[said:]
        assert why in line["why"] and str(self.path) in line["why"]
        assert metric(self.runtree, "runtree_auth_keys") == keys > 0

    def take(self, content):
        said = len(self.lines("new keys are in use"))
        self.hang_up(content)
        until(lambda: len(self.lines("new keys are in use")) > said)
        return self.lines("new keys are in use")[-1]["keys"]

    def lines(self, message):
        parsed = map(json.loads, self.log.read_text().split("\n")[:-1])
        return [line for line in parsed if line["message"] == message]


@pytest.fixture(scope="module")
def reloaded(database, tmp_path_factory):
    server = Reloaded(tmp_path_factory.mktemp("keys"), "--auth-keys", ED.pem(), database)
    yield server
    server.runtree.stop()


def refused_at_the_start(option, path):
    done = run_to_exit("serve", "--auth", "jwt", option, str(path))
    assert done.returncode == 2
    assert f"runtree: {option}: {path}: " in done.stderr
    return done.stderr


@pytest.mark.parametrize("form", REFUSED)
def test_refused_at_the_start(tmp_path, form):
    content, why = REFUSED[form]
    path = tmp_path / "keys"
    path.write_bytes(content)
    assert why in refused_at_the_start("--auth-keys", path)


@pytest.mark.parametrize("form", REFUSED)
def test_refused_at_a_sighup(reloaded, form):
    content, why = REFUSED[form]
    reloaded.take(ED.pem())
    reloaded.refuse(content, why)
    assert status(reloaded.runtree, good(ED)) == 200
    for token in forgeries(content[:10000]):
        assert status(reloaded.runtree, token) == 401


def test_file_that_is_not_there(tmp_path):
    assert "No such file" in refused_at_the_start("--auth-keys", tmp_path / "nothing")
    assert "directory" in refused_at_the_start("--auth-secret-file", tmp_path)


@pytest.mark.parametrize("form", TAKEN)
def test_taken_at_a_sighup(reloaded, form):
    content, key = TAKEN[form]
    reloaded.take(content)
    assert status(reloaded.runtree, good(key)) == 200
    for token in forgeries(content):
        assert status(reloaded.runtree, token) == 401


@pytest.mark.parametrize("form", TAKEN)
def test_taken_at_the_start(database, tmp_path, start_runtree, form):
    content, key = TAKEN[form]
    path = tmp_path / "keys"
    path.write_bytes(content)
    runtree = start_runtree("--auth", "jwt", "--auth-keys", str(path), database_url=database)
    assert status(runtree, good(key)) == 200
    for token in forgeries(content):
        assert status(runtree, token) == 401


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
def test_keys_that_are_of_no_use_are_skipped_one_by_one(reloaded):
    """RFC 7517, section 5; so a provider may publish a key of a new kind beside those in use."""
    unknown = [
        key if isinstance(key, str) else key | {"kid": name} for name, (key, _) in SKIPPED.items()
    ]
    said = len(reloaded.lines("a key is not used"))
    count = reloaded.take(jwks(*unknown[:5], ES.jwk(), *unknown[5:], RS.jwk()))
    assert count == 2 == metric(reloaded.runtree, "runtree_auth_keys")
    assert status(reloaded.runtree, good(ES)) == status(reloaded.runtree, good(RS)) == 200
    lines = reloaded.lines("a key is not used")[said:]
    assert [line["key"] for line in lines] == [*range(1, 6), *range(7, len(SKIPPED) + 2)]
    for line, (name, (key, why)) in zip(lines, SKIPPED.items(), strict=True):
        assert why in line["why"], name
        assert line["kid"] == (None if isinstance(key, str) else name)
        assert line["file"] == str(reloaded.path)
    for key in (RSA_1024, RS.private):
        short = Key("RS256", "RSA 1024", key).sign(claims(aud=None), kid="for encryption")
        assert status(reloaded.runtree, short) == 401


@pytest.mark.parametrize("name", SKIPPED)
def test_key_that_is_of_no_use_alone(tmp_path, name):
    key, why = SKIPPED[name]
    path = tmp_path / "keys"
    path.write_bytes(jwks(key))
    said = refused_at_the_start("--auth-keys", path)
    assert "no key" in said and why in said


# The secret


@pytest.fixture(scope="module")
def secretive(database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("secret")
    server = Reloaded(folder, "--auth-secret-file", SECRET.private, database)
    yield server
    server.runtree.stop()


WORDS = SECRET.private

# What a file holds, and the secret that it means.
SECRETS = {
    "words": (WORDS, WORDS),
    "line": (WORDS + b"\n", WORDS),
    "Windows' line": (WORDS + b"\r\n", WORDS),
    "two line ends": (WORDS + b"\n\n", WORDS + b"\n"),
    "spaces around": (b" " + WORDS + b" ", b" " + WORDS + b" "),
    "32 bytes": (b"x" * 32, b"x" * 32),
    "64 bytes": (b"x" * 64, b"x" * 64),
    "4096 bytes": (b"x" * 4096 + b"\n", b"x" * 4096),
    "any bytes": (bytes(range(256)), bytes(range(256))),
    "base64": (base64.b64encode(bytes(range(64))), base64.b64encode(bytes(range(64)))),
    "nearly JSON": (b'{"' + b"x" * 40, b'{"' + b"x" * 40),
}


@pytest.mark.parametrize("form", SECRETS)
def test_secret(secretive, form):
    content, secret = SECRETS[form]
    assert secretive.take(content) == 1
    assert status(secretive.runtree, by_hand(secret, "sha256")) == 200
    for size, name in ((48, "sha384"), (64, "sha512")):
        long_enough = 200 if len(secret) >= size else 401
        assert status(secretive.runtree, by_hand(secret, name)) == long_enough
    assert status(secretive.runtree, by_hand(secret[:-1], "sha256")) == 401


PUBLIC = [
    *("DER key", "DER certificate", "bare base64 key", "bare base64 certificate", "SSH2"),
    *("ssh-rsa", "ssh-ed25519", "ecdsa", "address", "page", "JWKS in UTF-16", "private key"),
]


NO_SECRETS = {
    "empty": (b"", "from 32 to 4096 bytes"),
    "31 bytes": (b"x" * 31 + b"\n", "from 32 to 4096 bytes"),
    "4097 bytes": (b"x" * 4097, "from 32 to 4096 bytes"),
    "too large": (b"x" * (1024 * 1024 + 1), "too large"),
    **{form: (REFUSED[form][0], "no secret") for form in PUBLIC},
    **{form: (content, "no secret") for form, (content, _) in TAKEN.items()},
}


@pytest.mark.parametrize("form", NO_SECRETS)
def test_what_is_no_secret(secretive, tmp_path, form):
    content, why = NO_SECRETS[form]
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert why in refused_at_the_start("--auth-secret-file", path)
    secretive.take(SECRET.private)
    secretive.refuse(content, why)
    assert status(secretive.runtree, good(SECRET)) == 200
    for token in forgeries(content[:5000]):
        assert status(secretive.runtree, token) == 401


def test_secret_beside_keys(database, tmp_path, start_runtree):
    keys, secret = tmp_path / "keys", tmp_path / "secret"
    keys.write_bytes(JWKS)
    secret.write_bytes(SECRET.private)
    options = ("--auth", "jwt", "--auth-keys", str(keys), "--auth-secret-file", str(secret))
    runtree = start_runtree(*options, database_url=database)
    assert status(runtree, good(RS)) == status(runtree, good(SECRET)) == 200
    assert status(runtree, good(ES)) == 401
