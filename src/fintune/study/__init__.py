"""Studies: many runs that differ in a few settings, as one table; and what can be said of the differences.

`spec` reads a study file, `cells` makes its runs, `engine` works them off in processes of their own. Nothing here imports torch.
"""
