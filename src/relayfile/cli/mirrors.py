"""Which mirrors a command means, and what their daemons answer."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from relayfile.cli import local
from relayfile.credentials.home import Home
from relayfile.errors import Halted, NotFound, RelayfileError, Unavailable, UsageError
from relayfile.mirror import registry, status
from relayfile.mirror.registry import Record
from relayfile.wire import control

ANSWER_WITHIN_S = 5.0


def at(home: Home, directory: str | Path) -> Record:
    """The mirror whose root is or holds `directory`.

    Raises:
        NotFound: none on this machine; names those there are.
    """
    found = registry.find(home, directory)
    if found is None:
        raise NotFound(
            f"{Path(directory).absolute()} is no mirror, and lies in none. Nothing was changed.",
            code="mirror_not_found",
            hint=_known(home) or "`relayfile mount WORKSPACE DIR` makes one",
        )
    return found


def the_one(home: Home, directory: str | None) -> Record:
    """The mirror that `directory` names; without one, that of the working directory, or the only one there is.

    Raises:
        NotFound: there is none.
        UsageError: there are several and nothing says which.
    """
    if directory is not None:
        return at(home, directory)
    if here := registry.find(home, Path.cwd()):
        return here
    known = registry.all(home)
    if not known:
        raise no_mirror()
    if len(known) > 1:
        raise UsageError(
            f"there are {len(known)} mirrors on this machine: say which. Nothing was changed.",
            code="which_mirror",
            hint=_known(home),
        )
    return known[0]


def meant(home: Home, word: str) -> tuple[Record, str]:
    """The mirror, and the path in it with a leading `/`, that `word` names as a file here or as its workspace does.

    Raises:
        NotFound, UsageError: as `the_one`.
    """
    place = Path(os.path.realpath(Path(word).parent)) / Path(word).name  # a link is meant itself, not its target
    if record := registry.find(home, place.parent):
        return record, "/" + str(place.relative_to(os.path.realpath(record.directory)))
    return the_one(home, None), "/" + word.lstrip("/")


def chosen(home: Home, directories: Sequence[str]) -> list[Record]:
    """The mirrors that `directories` name, each once; without any, all of this machine."""
    if not directories:
        return registry.all(home)
    return list({record.id: record for record in (at(home, directory) for directory in directories)}.values())


def no_mirror() -> NotFound:
    """The failure that says that nothing is mirrored here yet."""
    return NotFound(
        "there is no mirror on this machine yet.",
        code="mirror_not_found",
        hint="`relayfile up DIR` or `relayfile mount WORKSPACE DIR` makes one",
    )


def ask(
    home: Home, record: Record, method: str, target: str, timeout_s: float | None = ANSWER_WITHIN_S
) -> local.Answer:
    """What the daemon of this mirror answers.

    Raises:
        Unavailable: code `daemon_silent`: a daemon runs, and does not answer; or as `stopped`.
        Halted: as `stopped`.
    """
    try:
        answer = local.ask(registry.control_socket(home, record.id), method, target, timeout_s)
    except local.NotRunning:
        raise stopped(home, record) from None
    except OSError as error:
        if not registry.in_place(record):  # its daemon is about to notice, and ends
            raise stopped(home, record) from error
        raise Unavailable(
            f"the daemon of {record.directory} does not answer: {error}. The files are not harmed by that.",
            code="daemon_silent",
            hint=f"`relayfile logs {record.directory}` shows why; `relayfile restart {record.directory}` is safe",
        ) from error
    if answer.status != 200:
        said = answer.body()[:500].decode(errors="replace")
        raise Unavailable(
            f"the daemon of {record.directory} answered {answer.status}: {said}",
            code="daemon_silent",
            hint=f"`relayfile restart {record.directory}` (it may be of another version)",
        )
    return answer


def stopped(home: Home, record: Record) -> RelayfileError:
    """The failure that says why no daemon keeps the mirror.

    Halted, code `root_replaced`: its directory is gone, or another lies there. Else Unavailable, code
    `mirror_stopped`, with the word that the last daemon left.
    """
    why = status.stopped(home, record)["cause"]
    if not registry.in_place(record):
        assert why is not None, "that is why"
        said, _, hint = why["message"].removeprefix("no daemon keeps it: ").partition(" · ")
        return Halted(f"{said}.", code=status.ROOT_GONE, hint=hint)
    said = "; its files are as they were." if why is None or why["code"] == "stopped" else f": {why['message']}"
    return Unavailable(
        f"the mirror {record.directory} is stopped{said}",
        code="mirror_stopped",
        hint=f"`relayfile mount {record.directory}` starts it again",
    )


def fragment(home: Home, record: Record) -> dict[str, object]:
    """The daemon's own picture of its mirror, as JSON has it. Raises as `ask`."""
    found: dict[str, object] = json.loads(ask(home, record, "GET", "/status?format=json").body())
    return found


def runs(home: Home, record: Record) -> bool:
    """A daemon of this home keeps the mirror, and answers."""
    try:
        return fragment(home, record)["mirror"] == record.id
    except (Unavailable, Halted):
        return False


def readmit(home: Home, record: Record) -> bool:
    """Whether this mirror waited because its own credential was refused, and may now have a new one (R10).

    A running daemon is told. Without one the refused credential is dropped, so that the next daemon asks anew. To be
    called once the sign-in is known to be good: it has to vouch.

    Raises:
        Unavailable, Halted: as `ask`; nothing was changed.
    """
    from relayfile.credentials.daemon_file import DaemonFile
    from relayfile.mirror import launch

    if record.token_file is not None or record.shared_login:
        return False
    kept = DaemonFile(home.mirror(record.id))
    held = kept.read()
    if held is None or held.enrolment.refusal is None:
        return False
    if launch.pid(home, record) is not None:
        ask(home, record, "POST", control.READMIT)
    else:
        with suppress(OSError):  # then the daemon says that it waits for a sign-in
            kept.remove()
    return True


def _known(home: Home) -> str:
    directories = [record.directory for record in registry.all(home)]
    shown = ", ".join(directories[:8]) + (", …" if len(directories) > 8 else "")
    return f"mirrors here: {shown}" if directories else ""


def rooted_at(home: Home, directory: str | Path) -> Record | None:
    """The mirror whose root is `directory` itself, and not another directory that lies there by now."""
    found = registry.find(home, directory)
    if found is None or Path(found.directory).resolve() != Path(directory).resolve():
        return None
    return found if registry.in_place(found) else None
