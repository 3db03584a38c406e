"""Connectors to PLM systems, one file a system. They work through the doors of mfgviz (`mfgviz.plm`)."""
