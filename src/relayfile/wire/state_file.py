"""`.relay/state.json`, by which programs beside a mirror know how it stands (3-protocol B 4.8).

Readers of v1 wait for `bootstrap == null` and a non-empty `lastSuccessfulReconcileAt`, take a `lastReconcileAt` older
than twice `intervalMs` for stale, and show `status`, which is derived here from our state word by one table.
"""

from collections.abc import Mapping
from typing import Final

from relayfile.wire.control import Fragment

INTERVAL_S: Final = 30.0
"""How often the file is written at least."""

STATUS: Final[Mapping[str, str]] = {
    "stopped": "offline",
    "damaged": "writeback-needs-attention",
    "halted": "writeback-needs-attention",
    "auth-failed": "offline",
    "config-error": "offline",
    "offline": "offline",
    "bootstrapping": "bootstrapping",
    "catching-up": "syncing",
    "conflict": "conflict",
    "pending": "writeback-pending",
    "live": "ready",
    "paused": "stale",
}
_LISTENER: Final = {"live": "listening", "connecting": "connecting", "catching-up": "connecting", "none": "disabled"}
_ATTENTION: Final = frozenset({"damaged", "halted"})


def content(
    seen: Fragment, *, now: str, succeeded_at: str | None, succeeded_age_s: float | None, started_at: str
) -> dict[str, object]:
    """The file's content. `succeeded_at` is when the mirror was last at one with the server; None: never yet."""
    state = seen["state"]
    status = STATUS[state]
    attention = state in _ATTENTION
    progress = seen["progress"]
    bootstrap = None
    if state == "bootstrapping" or succeeded_at is None:
        bootstrap = {
            "complete": False,
            "filesSynced": progress["files_done"] if progress else 0,
            "filesTotal": progress["files_total"] if progress else 0,
            "startedAt": started_at,
        }
    return {
        "workspaceId": seen["workspace"],
        "remoteRoot": "/",
        "localRoot": seen["directory"],
        "mode": "mirror",
        "syncMode": "mirror",
        "intervalMs": int(INTERVAL_S * 1000),
        "lastReconcileAt": now,
        "lastSuccessfulReconcileAt": succeeded_at or "",
        "lastEventAt": now,
        "staleAfter": int(INTERVAL_S * 2000),
        "status": status,
        "states": {
            "stale": status == "stale",
            "offline": status == "offline",
            "syncing": status in {"syncing", "bootstrapping"},
            "hasConflicts": seen["conflicts"] > 0,
            "hasPendingWriteback": seen["pending_edits"] > 0,
            "outboxNeedsAttention": attention,
        },
        "pendingWriteback": seen["pending_edits"],
        "pendingConflicts": seen["conflicts"],
        "deniedPaths": [],
        "failedWritebacks": 0,
        "lastError": _last_error(seen, status),
        "files": {},
        "counters": {
            "cycles": seen["cycles"],
            "cyclesCancelled": seen["cycles_cancelled"],
            "engineStarts": seen["engine_starts"],
        },
        "outbox": {
            "pending": seen["pending_edits"],
            "needsAttention": seen["held_deletions"] if attention else 0,
            "failed": 0,
            "acked": 0,
        },
        "lastAppliedRevision": f"rev_{seen['applied']}",
        "bootstrap": bootstrap,
        "reconcileAgeSecs": None if succeeded_age_s is None else round(succeeded_age_s, 3),
        "eventListener": {"status": _LISTENER.get(seen["connection"], "reconnecting")},
        "eventsCursor": f"evt_{seen['observed']}",
        "equal": seen["equal"],
        "provenAt": seen["proven_at"],
        "state": state,
    }


def _last_error(seen: Fragment, status: str) -> dict[str, str] | None:
    if cause := seen["cause"]:
        kind = "offline" if status == "offline" else cause["code"]
        return {"kind": kind, "code": cause["code"], "message": cause["message"]}
    if seen["last_error"]:
        return {"kind": "past", "code": "past", "message": seen["last_error"]}
    return None
