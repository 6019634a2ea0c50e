"""The providers that ship with ziggie-image-mcp, one file or folder each."""
