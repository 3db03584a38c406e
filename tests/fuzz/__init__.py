"""Hostile input: files made to break what reads them (`make fuzz`, and a part of it in the tests)."""
