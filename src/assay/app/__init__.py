"""The composition root: layered settings with trust, and the assembly of model, workspace, toolbox, gate and run."""
