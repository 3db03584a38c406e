"""The thin shell that knows FreeCAD."""
