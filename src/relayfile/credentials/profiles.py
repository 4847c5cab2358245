"""Which login a command uses when it is not told (R16)."""

from relayfile.credentials.home import DEFAULT_PROFILE, Home


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


def named(profile: str) -> str | None:
    """The profile as it must be named in a command; None for the one that need not be."""
    return None if profile == DEFAULT_PROFILE else profile
