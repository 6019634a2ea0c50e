"""Deterministic picture work without a model.

`region` adds the margins of an outpaint.
"""
