"""Adapters to foreign programs: `plm` works through the doors of mfgviz; add-ons in CAD programs speak
HTTP."""
