"""Trust stores: one driver per kind of store, each probing (tiny I/O), planning (pure) and explaining itself.

A store never changes anything: it returns plans, `installer` executes them and asks the store again.
"""
