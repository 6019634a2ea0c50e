"""The command line: the same use cases as the tools, for people."""
