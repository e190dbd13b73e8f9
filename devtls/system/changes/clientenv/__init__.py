"""The environment that makes programs trust the root which keep a list of their own, or are told one by a variable.

`probe` reads what is there, `planning` (pure) decides on files and variables, `files` writes, renews and retires them.
"""
