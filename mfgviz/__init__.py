"""mfgviz gives every part revision its pictures: records, jobs and the doors to them."""

__version__ = "0.1.0"
