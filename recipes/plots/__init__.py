"""Pictures of results, as matplotlib figures.

Figures are made without pyplot, so there is no global state and no window:
draw one, then write it with `save_figure`. Colours can be told apart by
colour-blind readers (Okabe and Ito's palette).
"""

from recipes.plots.charts import bits_against_flops
from recipes.plots.charts import training_curves
from recipes.plots.figures import save_figure
from recipes.plots.segmentation import segmentation
