"""MCP, and a page for people beside it.

`tools` are the tools, `arguments` their parameters, `content` their answers; `transport` serves
them, with `gallery`, the page, at the root.
"""
