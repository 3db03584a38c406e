"""What goes over HTTP: each resource with its fields, as the server answers and the client reads.

The CLI's `--json` prints the same fields. Times are UTC; sizes are bytes, lengths mm.
"""

from __future__ import annotations

from mfgviz.wire.automation import *
from mfgviz.wire.bom import *
from mfgviz.wire.comparison import *
from mfgviz.wire.connecting import *
from mfgviz.wire.connections import *
from mfgviz.wire.core import *
from mfgviz.wire.rules import *
from mfgviz.wire.templates import *
