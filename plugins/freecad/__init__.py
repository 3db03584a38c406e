"""The root of the FreeCAD add-on; `mfgviz_freecad` is the package that FreeCAD imports."""
