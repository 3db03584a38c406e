"""The tables, as typed SQLAlchemy classes. What must hold of a row is a constraint of the database.

Times are UTC; the columns that decide between workers (leases, waits) are set from the database's own
clock through `utcnow()`, so that a host with a wrong clock cannot steal or lose a lease.
"""

from __future__ import annotations

from mfgviz.records.automation import *
from mfgviz.records.base import *
from mfgviz.records.core import *
