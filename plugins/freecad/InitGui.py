"""FreeCAD executes this file inside a function: no __file__, and no name of it is seen in methods."""

import FreeCADGui as Gui


class MfgvizWorkbench(Gui.Workbench):  # type: ignore[misc]
    """Pictures of this part revision, from the part's own geometry."""

    from mfgviz_freecad.host import workbench as _workbench

    MenuText = _workbench.TITLE
    ToolTip = _workbench.tool_tip()
    Icon = _workbench.icon_path("mfgviz")

    def Initialize(self) -> None:  # noqa: N802 - FreeCAD's name
        """FreeCAD calls it when the workbench is first chosen."""
        from mfgviz_freecad.host import workbench

        workbench.initialize(self)

    def Activated(self) -> None:  # noqa: N802 - FreeCAD's name
        """FreeCAD calls it each time the workbench is chosen."""
        from mfgviz_freecad.host import workbench

        workbench.activated()

    def GetClassName(self) -> str:  # noqa: N802 - FreeCAD's name
        """A workbench in Python."""
        return "Gui::PythonWorkbench"


Gui.addWorkbench(MfgvizWorkbench())
MfgvizWorkbench._workbench.startup()
