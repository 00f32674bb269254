"""The paper's analyses of tokens, each a recipe over a prepared workdir.

Each one reads what `recipes.reproduce` left in a workdir, prints a table, and
writes `analyses/NAME.json` and `.png` there. The report then has its table.
"""
