"""ziggie-image-mcp: an MCP server that makes pictures on the best route this machine has."""

__version__ = "0.1.0"
