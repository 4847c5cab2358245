"""How a daemon that lives on a machine token asks whether that is still good, and why it is not."""

from relayfile.client import api
from relayfile.client.transport_sync import SyncClient
from relayfile.credentials.machine_login import MachineLogin
from relayfile.model import Secret


def open_machine_login(token_file: str, api_url: str) -> MachineLogin:
    """The login of a daemon whose token is in that file."""
    return MachineLogin(token_file, api_url, _ask)


def _ask(api_url: str, token: Secret) -> None:
    """One use of the token; raises as `SyncClient.call`."""
    with SyncClient(api_url, lambda: token, "daemon") as client:
        client.call(api.whoami())
