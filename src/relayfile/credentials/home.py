"""Where everything of one person lies on this machine (R33). The only reader of RELAYFILE_HOME.

Imports nothing that Python has not already loaded, so that commands which only look for a socket stay fast.
"""

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PROFILE = "default"
CREDENTIALS_NAME = "cloud-credentials.json"
SECRETS_MARK = ".relayfile-secrets"
"""In each folder of sign-ins or keys, of a person or of a server: no mirror enters a folder that holds this file,
whatever the folder is called and wherever it is mounted or moved."""


def _path(*parts: str) -> "Path":
    from pathlib import Path  # noqa: PLC0415 - 13 ms that a command which asks for no path does not pay

    return Path(*parts)


def _private_folder(path: str) -> str:
    """The folder exists afterwards; where it was created only its owner may enter it.

    Raises:
        Misconfigured: it cannot be created, or something that is no folder is in its place.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        from relayfile.errors import Misconfigured  # noqa: PLC0415 - as above

        raise Misconfigured(
            f"{path} cannot be created: {error.strerror}", code="home_unusable", hint="set RELAYFILE_HOME"
        ) from error
    return path


def mark_secrets(folder: "str | Path") -> None:
    """The folder says that it holds secrets, unless it cannot be written: then nothing can be kept there either."""
    try:
        os.close(os.open(os.path.join(folder, SECRETS_MARK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        return


class Home:
    """One RELAYFILE_HOME. Folders are made 0700 when something is to be put into them, never when it is only read."""

    def __init__(self, path: "str | Path", stash_places: "tuple[str, ...]" = ()) -> None:
        self._root = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self._stash_places = stash_places

    @classmethod
    def from_environment(cls) -> "Home":
        """The home that RELAYFILE_HOME names, else `~/.relayfile`; and where a successor may be stashed (4 B.1)."""
        places = [os.environ.get("XDG_STATE_HOME") or "~/.local/state", os.environ.get("XDG_RUNTIME_DIR") or ""]
        stash = tuple(os.path.join(os.path.expanduser(place), "relayfile") for place in places if place)
        return cls(os.environ.get("RELAYFILE_HOME") or "~/.relayfile", stash)

    def __fspath__(self) -> str:
        return self._root

    @property
    def path(self) -> "Path":
        """The home itself."""
        return _path(self._root)

    @property
    def stash_places(self) -> "tuple[Path, ...]":
        """Other folders that may take a successor pair when the home refuses it."""
        return tuple(_path(place) for place in self._stash_places)

    @property
    def mirrors(self) -> "Path":
        """The folder of all mirrors."""
        return _path(self._root, "mirrors")

    @property
    def server(self) -> "Path":
        """The default `--data` of a server on this machine."""
        return _path(self._root, "server")

    @property
    def profiles(self) -> "Path":
        """The folder of every profile but `default`."""
        return _path(self._root, "profiles")

    def mirror(self, mirror: str) -> "Path":
        """The folder of one mirror."""
        return _path(self._root, "mirrors", mirror)

    def credentials(self, profile: str = DEFAULT_PROFILE) -> "Path":
        """The credential file of a profile, whether it exists or not.

        Raises:
            UsageError: the name cannot be a folder's.
        """
        if profile == DEFAULT_PROFILE:
            return _path(self._root, CREDENTIALS_NAME)
        if not (profile.isascii() and profile.replace("-", "").replace("_", "").isalnum() and len(profile) <= 64):
            from relayfile.errors import UsageError  # noqa: PLC0415 - as above

            raise UsageError(
                f"not a profile name: {profile[:80]!r}",
                hint="use letters, digits, - and _, 64 at most",
                code="profile",
            )
        return _path(self._root, "profiles", profile, CREDENTIALS_NAME)

    def close(self) -> str | None:
        """Nobody else may enter the home, if there is one (S11); what was mended for that, in a line for people.

        Raises:
            Misconfigured: others may, and it is not ours to mend.
        """
        try:
            found = os.stat(self._root)
        except OSError:
            return None
        # Of a file in its place whoever needs the home will tell.
        if not stat.S_ISDIR(found.st_mode) or not found.st_mode & 0o077:
            return None
        why = f"it belongs to user {found.st_uid}"
        if found.st_uid == os.geteuid():
            try:
                os.chmod(self._root, 0o700)
            except OSError as error:
                why = str(error.strerror)
            else:
                return f"{self._root} could be entered by others; its mode is 0700 now"
        from relayfile.errors import Misconfigured  # noqa: PLC0415 - as above

        raise Misconfigured(
            f"{self._root} can be entered by others, and that cannot be mended: {why}",
            code="home_open",
            hint="set RELAYFILE_HOME to a folder of your own",
        )

    def prepare(self, *parts: str) -> "Path":
        """The folder below home that `parts` name (home itself without any), existing and 0700.

        Raises:
            Misconfigured: it cannot be made.
        """
        folder = _private_folder(self._root)
        mark_secrets(folder)
        for part in parts:
            folder = _private_folder(os.path.join(folder, part))
            mark_secrets(folder)
        return _path(folder)
