"""Which login a command uses when it is not told (R16)."""

from relayfile.credentials.home import DEFAULT_PROFILE, Home
from relayfile.errors import LoginRequired


def names(home: Home) -> list[str]:
    """The profiles that have a credential file, `default` first, the others in order."""
    found = [DEFAULT_PROFILE] if home.credentials().exists() else []
    try:
        folders = sorted(folder.name for folder in home.profiles.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return found
    return found + [name for name in folders if (home.profiles / name / home.credentials().name).exists()]


def choose(home: Home, wanted: str | None = None) -> str:
    """The profile to use: the wanted one; else `default`, unless it has no login and exactly one other has.

    Raises:
        UsageError: the wanted name cannot be a profile's.
    """
    if wanted is not None:
        home.credentials(wanted)
        return wanted
    found = names(home)
    return found[0] if len(found) == 1 else DEFAULT_PROFILE


def the_one(home: Home, wanted: str | None = None) -> str:
    """As `choose`, for commands that need a login: where several could be meant and none is the default, it asks.

    Raises:
        LoginRequired: code `which_profile`: nothing says which of several. UsageError: as `choose`.
    """
    profile = choose(home, wanted)
    others = names(home)
    if wanted is None and others and profile not in others:
        raise LoginRequired(
            f"which sign-in? There is none by default, but {', '.join(others)}. Nothing was changed.",
            code="which_profile",
            hint=f"add --profile {others[0]}, or run `relayfile login URL`",
        )
    return profile


def named(profile: str) -> str | None:
    """The profile as it must be named in a command; None for the one that need not be."""
    return None if profile == DEFAULT_PROFILE else profile
