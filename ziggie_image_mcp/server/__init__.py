"""MCP, and nothing else.

`tools` are the tools, `arguments` their parameters, `content` their answers; `transport` serves
them.
"""
