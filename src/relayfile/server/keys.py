"""The server's own keys: what signs workspace tokens, seals family keys, marks its pages' forms, and makes nonces.

They lie in one folder, each file 0600, the same for every process of one database (R12). The database remembers a
fingerprint of each: a lost or foreign key stops the start instead of ending every sign-in one by one.
"""

import hmac
import os
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from relayfile.credentials.home import mark_secrets
from relayfile.errors import LoginRequired, Misconfigured

AUDIENCE: Final = "relayfile"
_SIGNING: Final = "signing.pem"
_WRAP: Final = "wrap.key"
_COOKIE: Final = "cookie.key"
_NONCE: Final = "nonce.key"
_RSA_BITS: Final = 2048


class Keys:
    """Loaded keys. Nothing of them leaves this object but signatures, sealed boxes and the public half."""

    def __init__(self, signing: RSAKey, wrap: bytes, cookie: bytes, nonce: bytes) -> None:
        self._signing = signing
        self._kid = signing.thumbprint()
        self._seal = AESGCM(wrap)
        self._cookie = cookie
        self._nonce = nonce

    @classmethod
    def open(cls, folder: Path, connection: apsw.Connection) -> "Keys":
        """The keys in `folder`; made there when this database never had any.

        Raises:
            Misconfigured: a key is missing, cannot be read, or is not the one this database was written with.

        Durable: new keys are synced, files and folder, before the database names them.
        """
        remembered = {str(name): str(value) for name, value in connection.execute("SELECT * FROM server_key")}
        raw: dict[str, bytes] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark_secrets(folder)
            for name in (_SIGNING, _WRAP, _COOKIE, _NONCE):
                path = folder / name
                if not path.exists() and name not in remembered:
                    _create(path, _new(name))
                raw[name] = path.read_bytes()
                path.chmod(0o600)
        except OSError as error:
            raise Misconfigured(
                f"the server's keys cannot be used: {error.strerror}: {error.filename}",
                hint="restore the keys folder from where it was, or name it with --keys",
            ) from error
        for name, value in raw.items():
            fingerprint = sha256(b"relayfile key\0" + value).hexdigest()[:32]
            if remembered.setdefault(name, fingerprint) != fingerprint:
                raise Misconfigured(
                    f"{folder / name} is not the key this database was written with; nothing was changed",
                    hint="restore the keys folder that belongs to this data, or name it with --keys",
                )
        with connection:
            connection.executemany("INSERT OR IGNORE INTO server_key VALUES (?, ?)", list(remembered.items()))
        try:
            return cls(RSAKey.import_key(raw[_SIGNING]), raw[_WRAP], raw[_COOKIE], raw[_NONCE])
        except ValueError as error:
            raise Misconfigured(f"a key in {folder} is damaged") from error

    def new_family_key(self, family: str) -> bytes:
        """A fresh MAC key for `family`, sealed: this is what the database may know."""
        nonce = secrets.token_bytes(12)
        return nonce + self._seal.encrypt(nonce, secrets.token_bytes(32), family.encode())

    def refresh_mac(self, sealed: bytes, family: str, generation: int) -> str:
        """The proof part of a refresh token: derived, never stored, so that a lost answer can be repeated (R12)."""
        key = self._seal.decrypt(sealed[:12], sealed[12:], family.encode())
        return _text(hmac.digest(key, f"{family}.{generation}".encode(), "sha256"))

    def form_mark(self, words: str) -> str:
        """A mark that only this server can put on `words`; shows that a form came from its own page."""
        return _text(hmac.digest(self._cookie, words.encode(), "sha256"))

    def proof_nonce(self, slot: int) -> str:
        """The nonce of one time slot for proofs of a key (R11): stored nowhere, and nobody else can tell it."""
        return _text(hmac.digest(self._nonce, str(slot).encode(), "sha256"))

    def sign(self, claims: dict[str, Any]) -> str:
        """`claims` as an RS256 token with our key id."""
        return jwt.encode({"alg": "RS256", "kid": self._kid, "typ": "JWT"}, claims, self._signing)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that we signed. Says nothing about its time.

        Raises:
            LoginRequired: code `token_invalid`: not ours, or not a token at all.
        """
        try:
            return dict(jwt.decode(token, self._signing, algorithms=["RS256"]).claims)
        except (JoseError, ValueError) as error:
            raise LoginRequired("the token is not one of this server", code="token_invalid") from error

    def jwks(self) -> dict[str, Any]:
        """The public half, for `GET /.well-known/jwks.json`."""
        public = self._signing.as_dict(private=False)
        return {"keys": [{**public, "kid": self._kid, "alg": "RS256", "use": "sig"}]}


def _new(name: str) -> bytes:
    if name == _SIGNING:
        return RSAKey.generate_key(_RSA_BITS).as_pem(private=True)
    return secrets.token_bytes(32)


def _create(path: Path, content: bytes) -> None:
    """The file is there, whole, 0600 and synced, or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
