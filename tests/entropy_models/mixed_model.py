"""A complete user-defined model, in a module that registers it."""

import numpy as np

from keras_nc import entropy_models


@entropy_models.register("mixed_bytes")
class MixedModel(entropy_models.EntropyModel):
    """Byte counts, and the last byte again with some weight."""

    def __init__(self, counts, weight):
        self.counts = np.array(counts, "int64")
        self.weight = weight

    def probabilities(self, prefixes):
        row = self.counts / self.counts.sum()
        rows = np.tile(row, (len(prefixes), 1))
        for row, prefix in zip(rows, prefixes, strict=True):
            if prefix:
                row *= 1 - self.weight
                row[prefix[-1]] += self.weight
        return rows

    def refit(self, text, starts):
        return entropy_models.RefittedModel.from_text(self, text, starts)

    def state(self):
        return {"weight": self.weight}, {"counts": self.counts}

    @classmethod
    def from_state(cls, settings, arrays):
        return cls(arrays["counts"], settings["weight"])
