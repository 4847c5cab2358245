"""No secret is ever anywhere but where it must be: every token, password, code and nonce is looked for everywhere.

A server, a daemon and many commands live through several lifetimes of a login; whatever was secret on the way is
collected while it happens, and then looked for, plain and encoded, in everything that was written, said or shown.
"""

import base64
import contextlib
import http.client
import json
import secrets
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from machines import _processes
from people import Person
from servers import OWNER, PASSWORD
from waiting import until

WRONG = "a wrong password of 31 letters!"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
MAY_HOLD = (
    "cloud-credentials.json",
    "cloud-credentials.history",
    "cloud-credentials.stash",
    "cloud-credentials.intent",
    "mirrors/*/credential.json",
    "mirrors/*/key.pem",
)
"""Where a client keeps its logins, below its home; the server keeps its own below keys/ and in two files."""


class Witness:
    """Collects what is secret, and what processes show of themselves, while things happen."""

    def __init__(self, *homes: Path) -> None:
        self.secrets: dict[str, str] = {}
        self.shown: list[tuple[str, bytes]] = []
        self._homes = homes
        self._seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def keep(self, what: str, secret: str) -> str:
        """`secret` must never be seen; of a token it is the part that cannot be guessed."""
        telling = secret.rpartition(".")[2].removeprefix("cld_at_")
        assert len(telling) >= 12, what
        self.secrets[telling] = what
        return secret

    def keep_all(self, what: str, answer: object) -> None:
        """Every value of a JSON answer that is a secret by its name."""
        if isinstance(answer, dict):
            for name, value in answer.items():
                if isinstance(value, str) and value and any(word in name.lower() for word in ("token", "nonce")):
                    if not any(word in name.lower() for word in ("type", "expires", "issued")):
                        self.keep(f"{what}: {name}", value)
                else:
                    self.keep_all(what, value)

    def show(self, where: str, content: bytes | str) -> None:
        self.shown.append((where, content.encode() if isinstance(content, str) else content))

    def _watch(self) -> None:
        while not self._over.is_set():
            self._look()
            time.sleep(0.01)

    def _look(self) -> None:
        for home in self._homes:
            for path in may_hold(home):
                with contextlib.suppress(OSError, ValueError):  # gone again; a key, which is no JSON
                    self.keep_all(path.name, json.loads(path.read_bytes()))
            for pid, words in _processes(home):
                with contextlib.suppress(OSError):
                    environ = Path(f"/proc/{pid}/environ").read_bytes()
                    for what in (" ".join(words).encode(), environ):
                        if what not in self._seen:
                            self._seen.add(what)
                            self.show(f"/proc/{pid} {words[:5]}", what)

    def found(self) -> list[str]:
        """Where which secret was seen; nothing of it is repeated."""
        needles = {form: what for secret, what in self.secrets.items() for form in _forms(secret)}
        return [
            f"{what} in {where}" for where, content in self.shown for form, what in needles.items() if form in content
        ]


def may_hold(home: Path) -> list[Path]:
    """The files of a home that are there now and are places for secrets."""
    return [path for name in MAY_HOLD for path in home.glob(name)]


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    encoded = {base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode()}
    return {raw, quote(secret).encode(), quote_plus(secret).encode(), *(form.rstrip(b"=")[:-2] for form in encoded)}


def control(path: Path, target: str) -> bytes:
    """What a daemon's control socket answers."""
    with contextlib.closing(http.client.HTTPConnection("mirror")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", target)
        return connection.getresponse().read()


def raw_answer(url: str, request: bytes) -> bytes:
    """What the server says to bytes that no client would send."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as plain:
        plain.sendall(request)
        return plain.recv(65_536)


def use_every_door(server, witness, workspace):
    """Whatever gives or takes a secret over HTTP, done right and done wrong."""
    person = Person(server)
    try:
        witness.keep_all("password sign-in", person.sign_in())
        nonce = witness.keep("a nonce", secrets.token_hex(16))
        renewed = person.renew(person.grant["refresh_token"], nonce)
        witness.keep_all("renewal", renewed.json)
        person.http.token = renewed.json["access_token"]
        joined = person.http.ok("POST", f"/api/v1/workspaces/{workspace}/join", body={"agentName": "a"})
        witness.keep("join token", joined["token"])
        delegated = f"/api/v1/workspaces/{workspace}/relayfile/delegated-token"
        witness.keep_all("delegation", person.http.ok("POST", delegated, body={"agentName": "a"}))
        live = f"{server.url.replace('http', 'ws', 1)}/v1/workspaces/{workspace}/fs/ws?token="
        with connect(live + joined["token"], compression=None):
            pass
        false = witness.keep("a token that is none", "cld_at_" + secrets.token_urlsafe(32))
        with contextlib.suppress(InvalidStatus), connect(live + false, compression=None):
            raise AssertionError("it was let in")
        for path in (f"/nowhere/{workspace}?token={false}", f"/v1/workspaces/{workspace}/fs/tree?token={false}"):
            witness.show("an answer", person.http.ask("GET", path).body)
        for headers in ({"Authorization": f"Bearer {false}"}, {"Authorization": f"Basic {false}"}):
            witness.show("a refusal", person.http.ask("GET", "/api/v1/workspaces", headers=headers).body)
        device = person.http.ok("POST", "/oauth/device_authorization", form={"client_id": "relayfile-cli"})
        witness.keep("device code", device["device_code"])
        witness.show("a device answer", person.token(grant_type=DEVICE, device_code=device["device_code"]).body)
        witness.show("a password refusal", person.token(grant_type="password", username=OWNER, password=WRONG).body)
        v1 = {"username": OWNER, "password": WRONG}
        witness.show("a v1 refusal", person.http.ask("POST", "/api/v1/cli/login", body=v1).body)
        witness.show("reuse", person.renew(person.grant["refresh_token"], witness.keep("another", "ab" * 16)).body)
        witness.show("after reuse", person.http.ask("GET", "/api/v1/workspaces").body)
        witness.show("a broken form", person.http.ask("POST", "/oauth/token", raw=PASSWORD.encode() * 20).body)
        witness.show("a broken request", raw_answer(server.url, f"GET /?token={false} HTTP/9\r\n\r\n".encode()))
    finally:
        person.http.close()


def use_every_command(machine, server, witness, root):
    """Commands that touch the login, right and wrong; what they say is shown."""
    for words in (
        ("status",),
        ("status", "--json"),
        ("whoami", "--json"),
        ("tree", "w", "/"),
        ("read", "w", "/a.txt"),
        ("workspace", "list", "--json"),
        ("auth", "sessions"),
        ("auth", "sessions", "--json"),
        ("auth", "log"),
        ("auth", "log", "--json"),
        ("logs", root),
        ("pull", root),
        ("read", "w", "/nothing"),
        ("tree", "nowhere", "/"),
    ):
        ran = machine.try_(*words)
        witness.show(f"relayfile {words}", ran.out + ran.err)
        assert "Traceback" not in ran.err, ran
    words = ("login", server.url, "--username", OWNER, "--password-stdin", "--replace")
    ran = machine.try_(*words, stdin=WRONG + "\n")
    assert ran.code == 4, ran
    witness.show("a wrong login", ran.out + ran.err)


def use_a_machine_token(machine, witness, file):
    """It is made, used, refused and looked at."""
    machine.run("token", "create", "--name", "ci", "--scope", "fs:read", "--save", file)
    witness.keep("the machine token", file.read_text().split()[0])
    for words in (
        ("whoami", "--token-file", file),
        ("tree", "w", "--token-file", file, "--json"),
        ("write", "w", "/no.txt", "--token-file", file, "--json"),
        ("token", "list", "--json"),
        ("token", "revoke", "ci"),
        ("tree", "w", "--token-file", file),
        ("auth", "status", "--token-file", file, "--json"),
        ("auth", "status", "--json"),
        ("auth", "status"),
    ):
        ran = machine.try_(*words)
        witness.show(f"relayfile {words}", ran.out + ran.err)


def ask_the_daemon(machine, witness):
    """Whatever its control socket tells, right and wrong; the socket."""
    (sock,) = machine.home.glob("mirrors/*/control.sock")
    for target in ("/status?format=json", "/status?format=text&width=80&color=0", "/health", "/nothing"):
        witness.show(f"control {target}", control(sock, target))
    return sock


def show_everything_written(witness, machine, server, root):
    """Every file that was written and is no place for a login."""
    its_own = {"password", "owner-signin", "owner-password"}
    for path in server.folder.rglob("*"):
        if path.is_file() and path.name not in its_own and "keys" not in path.parts:
            witness.show(str(path), path.read_bytes())
    places = may_hold(machine.home)
    for folder in (machine.home, root):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path not in places:
                witness.show(str(path), path.read_bytes())
    witness.show("the audit", json.dumps(server.audit()))


def test_no_secret_is_anywhere_but_where_it_must_be(start_server, new_machine, place):
    server = start_server(access_ttl="3s", refresh_overlap="0s", expected=["Invalid HTTP request"])
    machine, root = new_machine(), place / "root"
    machine.expected.append("signed out")
    with Witness(machine.home, server.folder / ".relayfile") as witness:
        witness.keep("the password", PASSWORD)
        witness.keep("the wrong password", WRONG)
        witness.keep("the owner's word", (server.data / "owner-signin").read_text().strip())
        machine.login(server)
        machine.run("workspace", "create", "w")
        (row,) = machine.run("workspace", "list", "--json").json
        # On the shared sign-in, which its daemon then renews: it is the one whose secrets are in many hands.
        machine.run("mount", "w", root, "--shared-login")
        (root / "a.txt").write_text("not a secret")
        machine.until_live(root)
        first = json.loads(machine.credentials.read_text())["generation"]
        use_every_door(server, witness, row["workspaceId"])
        use_every_command(machine, server, witness, root)
        use_a_machine_token(machine, witness, place / "ci.token")
        sock = ask_the_daemon(machine, witness)
        until(
            lambda: json.loads(machine.credentials.read_text())["generation"] >= first + 3,
            within_s=20,
            what="the login was renewed several times",
            evidence=machine.evidence,
        )
        show_everything_written(witness, machine, server, root)
        modes_are_private(machine, server, root, sock)
        ran = machine.run("logout")
        witness.show("logout", ran.out + ran.err)
        machine.until_mirror(root, lambda one: one["state"] == "auth-failed", within_s=10, what="the mirror parks")
        witness.show("status after logout", machine.run("status", "--json").out)
        machine.run("stop", root)
        show_everything_written(witness, machine, server, root)
    for path in may_hold(machine.home):
        witness.show(f"{path.name} after logout", path.read_bytes())
    assert len(witness.secrets) > 15, "the witness has seen the secrets of several lifetimes"
    assert sum(b"/proc" in where.encode() for where, _ in witness.shown) > 10, "and many processes"
    assert not (found := witness.found()), "\n".join(sorted(set(found)))


def test_no_secret_of_a_mirrors_own_credential_is_anywhere_but_in_its_two_files(start_server, new_machine, place):
    server = start_server(access_ttl="2s", refresh_overlap="0s")
    machine, root = new_machine(), place / "root"
    machine.expected.append("revoked")
    with Witness(machine.home) as witness:
        machine.login(server)
        machine.run("workspace", "create", "w")
        machine.run("mount", "w", root)
        (root / "a.txt").write_text("not a secret")
        machine.until_live(root)
        (own,) = machine.home.glob("mirrors/*/credential.json")
        keep_the_key(witness, own.with_name("key.pem").read_bytes())
        first = json.loads(own.read_bytes())
        use_every_command(machine, server, witness, root)
        until(
            lambda: access_tokens(witness, own.name) >= 3,
            within_s=20,
            what="the daemon renewed its credential several times",
            evidence=machine.evidence,
        )
        assert json.loads(own.read_bytes())["refreshToken"] == first["refreshToken"]
        modes_are_private(machine, server, root, ask_the_daemon(machine, witness))
        show_everything_written(witness, machine, server, root)
        machine.run("auth", "revoke", first["family"])
        machine.until_mirror(root, lambda one: one["state"] == "auth-failed", within_s=15, what="the mirror parks")
        ask_the_daemon(machine, witness)
        for words in (
            ("status", "--json"),
            ("auth", "sessions", "--json"),
            ("auth", "log", "--json"),
            ("stop", root),
        ):
            ran = machine.run(*words)
            witness.show(f"relayfile {words}", ran.out + ran.err)
        show_everything_written(witness, machine, server, root)
    assert sum("mount" in where for where, _ in witness.shown if where.startswith("/proc")) >= 2, (
        "words and environment"
    )
    assert not (found := witness.found()), "\n".join(sorted(set(found)))


def access_tokens(witness, name):
    """How many the witness has seen in files of this name."""
    return sum(what == f"{name}: accessToken" for what in witness.secrets.values())


def keep_the_key(witness, pem):
    """The private number of the key, in each way of writing it that somebody might have chosen."""
    number = load_pem_private_key(pem, None).private_numbers().private_value.to_bytes(32)
    witness.keep("the key, in its file's words", "".join(pem.decode().splitlines()[1:-1])[50:90])
    witness.keep("the key, as in a JWK", base64.urlsafe_b64encode(number).decode().rstrip("="))
    witness.keep("the key, in hex", number.hex())


def modes_are_private(machine, server, root, sock):
    """Nobody else on this machine can read what is secret, file by file and by the folders around it."""
    folders = (machine.home, machine.home / "mirrors", sock.parent, server.data, server.data / "keys")
    private = (root / ".relay" / "stage", root / ".relay" / "trash")
    assert [str(folder) for folder in (*folders, *private) if folder.stat().st_mode & 0o077] == []
    files = [path for folder in (machine.home, server.data) for path in folder.rglob("*") if path.is_file()]
    telling = ("cloud-credentials", "owner-", "relayfile.db", "access.log", "state.db", ".key", ".pem")
    secret = [path for path in (*files, sock) if any(word in path.name for word in telling)] + [sock]
    assert len(secret) > 8
    assert [f"{path} {stat.filemode(path.stat().st_mode)}" for path in secret if path.stat().st_mode & 0o077] == []


def test_a_credential_written_with_a_wide_umask_is_private_all_the_same(new_machine, server):
    machine = new_machine()
    words = " ".join(f"'{word}'" for word in machine.command("login", server.url, "--username", OWNER))
    subprocess.run(
        ["sh", "-c", f"umask 000; exec {words} --password-stdin"],
        input=PASSWORD.encode() + b"\n",
        env=machine.environment(),
        check=True,
        capture_output=True,
    )
    wide = [path for path in machine.home.rglob("*") if path.stat().st_mode & 0o077]
    assert [path.name for path in wide if "credentials" in path.name and not path.name.endswith(".lock")] == []
    assert machine.home.stat().st_mode & 0o077 == 0


def test_the_witness_would_see_a_leak(place):
    with Witness(place) as witness:
        witness.keep("a token", "cld_rt_fam.3.abcdefghijklmnopqrstuvwxyz")
        witness.show("a log", b'{"path": "/x?token=cld_rt_fam.3.abcdefghijklmnopqrstuvwxyz"}')
        witness.show("a family is no secret", b"cld_rt_fam.3")
        witness.show("encoded", base64.b64encode(b"abcdefghijklmnopqrstuvwxyz"))
    assert witness.found() == ["a token in a log", "a token in encoded"]
