"""What people and programs can ask for, each as one function that answers with a resource of `mfgviz.wire`.

The HTTP API and the command line both call this, so that they cannot come to differ. A `Service` acts for one
requester; every change is one transaction.
"""

from __future__ import annotations

from mfgviz.service.administration import AdministrationService
from mfgviz.service.automation import AutomationService
from mfgviz.service.bom import BomService
from mfgviz.service.catalogue import CatalogueService
from mfgviz.service.chronicle import ChronicleService
from mfgviz.service.comparing import ComparisonService
from mfgviz.service.connecting import ConnectingService
from mfgviz.service.connections import ConnectionService
from mfgviz.service.pictures import PictureService
from mfgviz.service.shown import API, check_file_name

__all__ = ["API", "Service", "check_file_name"]


class Service(
    ConnectingService,
    ConnectionService,
    CatalogueService,
    ComparisonService,
    BomService,
    PictureService,
    AutomationService,
    ChronicleService,
    AdministrationService,
):
    """The doors' common floor, for one requester.

    `later` is called with what may wait until the answer is sent, such as ringing workers.
    """
