"""People with sign-ins of their own, as the tests of identity need them."""

import secrets
import time
from pathlib import Path

from plain_http import PlainHttp
from relayfile.server.accounts import hashed
from relayfile.server.store import accounts
from relayfile.server.store.database import connect
from servers import OWNER, PASSWORD, Server

AGENT = "relayfile/9.9.9 (daemon; box7; 4242)"


class Person:
    """Somebody who talks to a server: one connection, one sign-in."""

    def __init__(self, server: Server):
        self.http = PlainHttp(server.url, agent=AGENT)
        self.grant = {}

    def sign_in(self, username=OWNER, password=PASSWORD, **fields):
        """By the password grant, able to repeat itself unless `fields` say otherwise."""
        form = {"grant_type": "password", "username": username, "password": password, "refresh_nonce_supported": "1"}
        self.grant = self.token(**(form | fields)).json
        self.http.token = self.grant["access_token"]
        return self.grant

    def sign_in_as_v1(self):
        """Through the door old clients know."""
        self.grant = self.http.ok("POST", "/api/v1/cli/login", body={"username": OWNER, "password": PASSWORD})
        self.http.token = self.grant["accessToken"]
        return self.grant

    def token(self, **fields):
        """What `/oauth/token` says to this form."""
        fields = {"client_id": "relayfile-cli", **fields}
        return self.http.ask("POST", "/oauth/token", form={k: v for k, v in fields.items() if v})

    def renew(self, refresh_token, nonce=None):
        nonce = secrets.token_hex(16) if nonce is None else nonce
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, refresh_nonce=nonce)

    def renew_as_v1(self, refresh_token):
        return self.http.ask("POST", "/api/v1/auth/token/refresh", body={"refreshToken": refresh_token})

    def whoami(self, token=None):
        http, kept = self.http, self.http.token
        http.token = kept if token is None else token
        try:
            return http.ask("GET", "/api/v1/auth/whoami")
        finally:
            http.token = kept

    def workspaces(self, token):
        """What a token lists."""
        http, kept = self.http, self.http.token
        http.token = token
        try:
            return http.ok("GET", "/api/v1/workspaces")
        finally:
            http.token = kept

    def sessions(self):
        return {row["id"]: row for row in self.http.ok("GET", "/api/v1/auth/sessions")}


def add_account(data: Path, name: str, password: str):
    """An account beside the owner's, put where the server keeps them."""
    [database] = data.glob("*.db")
    connection = connect(database)
    try:
        with connection:
            return accounts.create(connection, name, hashed(password), accounts.PERSON, time.time())
    finally:
        connection.close()


def events_of(server: Server, family: str):
    """What the audit log tells of one family, oldest first."""
    return [event for event in server.audit() if event["family"] == family]
