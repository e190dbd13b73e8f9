"""What `devtls doctor` knows: one module per subject, facts in and findings out.

The modules here are pure; `probes` gathers their facts, `examine` joins the two, `mending` does what `--fix` may do.
"""
