"""FreeCAD executes this file at its start, also without a window: nothing is loaded before it is needed."""
