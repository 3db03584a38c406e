"""Faults at random into a whole service, and what must hold of it afterwards."""
