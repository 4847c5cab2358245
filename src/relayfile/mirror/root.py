"""The root of a mirror: whether a directory may be one, its identity, its private folder, its descriptors.

R33: `.relay/` in the root holds `id`, `lock`, `state.json`, `stage/` and `trash/`. It is never watched, never
synced. A root that contains, equals or lies inside a place that holds secrets is refused.
"""

from collections.abc import Iterable
from pathlib import Path

from relayfile.credentials.home import Home
from relayfile.mirror.registry import Record


def prepare(
    home: Home,
    directory: str | Path,
    *,
    workspace: str,
    workspace_name: str,
    api_url: str,
    profile: str,
    shared_login: bool = True,
    keep_out: Iterable[str | Path] = (),
    new: bool = False,
    moved: bool = False,
) -> Record:
    """`directory` is a mirror root with an identity, and its record is saved: a daemon may be started on it.

    Repeating it for the same workspace answers the same record. `keep_out` are further folders that must never
    be synced: data and key folders of servers. RELAYFILE_HOME always is one. `new` gives the directory a new
    identity (its files are then uploaded or kept, as at a first mount); `moved` keeps the identity of a root that
    was copied elsewhere and is gone from its old place.

    Raises:
        UsageError: it is not a directory.
        Misconfigured: it may not be a root: inside or around another mirror, around or inside a place of secrets,
            unwritable; or it is a mirror of another workspace or server and `new` was not given.
    """
    raise NotImplementedError
