"""A typed client of the HTTP API: the methods of `mfgviz.service.Service`, asked of a server.

    from mfgviz.client import Client

    with Client("http://127.0.0.1:8737", token="mfgv_…") as client:
        answer = client.submit(wire.JobBody(revision="BRK-0042@A", prompt="polished brass"))
        for event in client.job_events(answer.items[0].job):
            print(event.state, event.step)

What the server refuses is raised as the error of `mfgviz.errors` that it would be without a server.
"""

from __future__ import annotations

from mfgviz.client.administration import AdministrationClient
from mfgviz.client.automation import AutomationClient
from mfgviz.client.bom import BomClient
from mfgviz.client.catalogue import CatalogueClient
from mfgviz.client.chronicle import ChronicleClient
from mfgviz.client.connecting import ConnectingClient
from mfgviz.client.connection import TOKEN_MARK
from mfgviz.client.connections import ConnectionClient
from mfgviz.client.pictures import PictureClient
from mfgviz.client.work import WorkClient

__all__ = ["TOKEN_MARK", "Client"]


class Client(
    ConnectingClient,
    CatalogueClient,
    WorkClient,
    BomClient,
    PictureClient,
    AutomationClient,
    ChronicleClient,
    AdministrationClient,
    ConnectionClient,
):
    """One server, one token. Safe to use from several threads.

    `url` may be the connect string that `mfgviz up` prints, which holds the token. A request that is refused
    because too many come waits for as long as `patience_s`; by default that is an error at once.

    Raises:
        UnknownServerError: the URL is none of http or https.
        UnauthenticatedError: that cannot be a token.
    """
