"""The paper's analyses of tokens, each a recipe over a prepared workdir.

Each one reads what `recipes.reproduce` left in a workdir and prints a table. It
writes the table and, if there is one, a plot to `analyses/` in the workdir. The
next report of the workdir has the table, too.
"""
