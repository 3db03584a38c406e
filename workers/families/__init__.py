"""Model families: one self-contained file each, all behind `protocol.Family`."""
