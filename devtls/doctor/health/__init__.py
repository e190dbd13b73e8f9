"""The diagnosis of `devtls doctor`: one module per subject, its verdict above, its probe below.

A probe gathers facts and changes nothing; a check is pure and turns facts into findings. `diagnosis` runs the probes
at the same time, `fixes` applies what `--fix` may do.
"""
