"""How good the pictures of a model are: `mfgviz models evaluate NAME`.

The evaluation set lies in `set/`: parts of families that the studio model was never trained on, path-traced
pictures of them, and the same parts with planted defects. Everything is measured at 256 px a side.
"""
