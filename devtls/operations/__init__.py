"""What a person can ask devtls for, without a terminal: trust, setup, rollover, revocation, certificates, routes.

Every operation takes a Context, tells its progress to the context's Reporter, and returns values: a plan, a result, a
report. It never prints and never asks; what needs an answer comes in two functions, one that plans and one that applies
the plan. The command line, a program and the tests are callers of the same functions.
"""
