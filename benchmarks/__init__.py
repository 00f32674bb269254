"""Measurements against named peers, each a Markdown table from one run."""

import recipes  # chooses the backend before Keras is imported
