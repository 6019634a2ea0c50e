"""The user's settings and secrets.

`config` declares the settings, `loader` reads them, `secrets` finds keys.
"""
