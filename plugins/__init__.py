"""Adapters to foreign programs. They speak HTTP to the API and import nothing of mfgviz."""
