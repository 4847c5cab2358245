"""A process that may come to hold a secret leaves no memory image behind when it crashes.

Tokens, a mirror's key and the server's keys lie in memory in the clear while they are used; a core file would keep
them in a place that nobody guards, and a crash reporter would send them away.
"""

import resource
import sys
from contextlib import suppress
from typing import Final

_NOTHING: Final = 1 if sys.platform == "linux" else 0
"""Bytes of core that the kernel may write. On Linux a limit of 0 stops a core file, but not a core that is piped to a
program (systemd-coredump, apport): the kernel looks at no limit there but this 1, with which it makes no core at all.
A file cannot come of it either: no core is that small.

The process is left *dumpable* (prctl(2)) all the same. Taking that away would give its folder in /proc to root: then
whoever runs it could no longer trace it, or see its files and its environment, and whoever can read that may read
the credential files as well."""


def forbid() -> None:
    """Neither this process nor one that it starts is ever dumped, and none of them can allow it again."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _NOTHING if most == resource.RLIM_INFINITY else min(_NOTHING, most)
    with suppress(OSError, ValueError):  # some containers refuse the call; what they allow is theirs to say
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
