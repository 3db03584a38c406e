"""What needs neither Qt nor FreeCAD."""
