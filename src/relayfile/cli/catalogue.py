"""Every command, in the order and the groups in which people meet them, and the text of `relayfile --help`.

Part of the start-up path: a table of words, nothing imported. The command's own help stands in its module.
"""

from relayfile import __version__

GROUPS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Everything on this machine",
        (
            ("up", "a directory kept equal to a workspace: server, sign-in and mirror in one go"),
            ("down", "stop what `up` started; nothing is deleted"),
        ),
    ),
    (
        "Sign in",
        (
            ("login", "sign in to a server, in the browser or with a password"),
            ("logout", "end this sign-in"),
            ("whoami", "who is signed in, where, and until when"),
            ("auth", "how my sign-in is; all of mine: list them, end one, read what happened to their tokens"),
            ("token", "machine tokens, for CI and agents: make, list, revoke"),
        ),
    ),
    (
        "Mirrors",
        (
            ("mount", "keep a directory equal to a workspace (also: start)"),
            ("status", "every mirror: state, cause, proof of equality, the login behind it"),
            ("pull", "sync now and wait until current"),
            ("verify", "recompute whether a mirror is equal to its workspace; --deep reads every file again"),
            ("why", "one path: its three versions, what was done about it, and what comes next"),
            ("wait", "until a position of the log, or another's write, is on this disk"),
            ("watch", "what a mirror places, sends and refuses, as it happens"),
            ("pause", "place nothing and send nothing for a while; edits are recorded"),
            ("resume", "go on after a pause; decide what a halted mirror may not decide alone"),
            ("conflicts", "edits that were set aside because another version came first"),
            ("diff", "the two sides of a conflict"),
            ("resolve", "settle a conflict: keep mine, theirs or both"),
            ("restore", "what the workspace replaced or deleted here: list it, bring it back"),
            ("logs", "what a mirror's daemon wrote"),
            ("stop", "stop a mirror; its files stay"),
            ("restart", "stop a mirror and start it again"),
        ),
    ),
    (
        "Workspaces and files, without a mirror",
        (
            ("workspace", "create, list, use, delete workspaces"),
            ("tree", "the paths of a workspace"),
            ("read", "the content of one path, to stdout (also: cat)"),
            ("write", "content from a file or stdin, to one path (also: put)"),
            ("rm", "delete paths"),
            ("seed", "upload a directory into a workspace"),
        ),
    ),
    (
        "Operate",
        (
            ("serve", "run the server"),
            ("version", "the version of this program"),
        ),
    ),
)

ALIASES = {"start": "mount", "cat": "read", "put": "write"}

COMMANDS = {name: summary for _, commands in GROUPS for name, summary in commands}


def overview() -> str:
    """The text of `relayfile --help`."""
    lines = ["Keep a local directory equal to a cloud workspace, and prove it.", "", "Usage: relayfile COMMAND …"]
    for title, commands in GROUPS:
        lines += ["", f"{title}:"]
        lines += [f"  {name:<11}{summary}" for name, summary in commands]
    lines += [
        "",
        "Begin here:",
        "  relayfile up ./acme              # all of it, on this machine, with nothing else set up",
        "  relayfile login https://…        # or join a server, then: relayfile mount WORKSPACE DIR",
        "",
        "With every command: --json (data for programs), --quiet (no talk), --profile NAME (another sign-in),",
        "--token-file FILE (a machine token; also RELAYFILE_TOKEN), and --help (what it does, with examples).",
        "Exit codes: 0 done, 1 not there or changed meanwhile, 2 wrong usage, 4 sign in, 6 a person must decide,",
        "7 already running, 70 damaged data or a bug: report it, 75 try again later, 76 the other side is of another",
        "version or no relayfile, 77 not allowed, 78 mend this machine, 130 interrupted.",
        "",
    ]
    return "\n".join(lines)


def version() -> str:
    """The line that `relayfile --version` prints."""
    return f"relayfile {__version__}\n"
