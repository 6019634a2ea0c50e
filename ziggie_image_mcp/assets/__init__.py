"""Deterministic picture work without a model.

`region` cuts out what a model works on, puts it back, and adds the margins of an outpaint;
`mask_edges` scales and softens masks; `keying` takes a flat ground away; `finish` makes tiles,
pixel art, sizes and colours; `export` makes frames, sheets, animations, icons and drawings of what
is finished.
"""
