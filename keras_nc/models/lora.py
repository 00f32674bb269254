"""LoRA of a backbone, with checks before any layer is changed."""

from keras_nc.coding.inputs import as_integer


class ChecksLora:
    """Mixin of backbones: raise an error if LoRA would train no layer."""

    def enable_lora(self, rank, target_layer_names=None):
        """Freeze all weights, and add low-rank weights to some layers.

        Args:
            rank: int. Rank of the new weights, at least 1.
            target_layer_names: A list of str. Names of the layers that get new
                weights; `None` for the queries and values of the attention.

        Raises:
            ValueError: If the rank is below 1, or if one of the names is not of
                a layer that can have LoRA.
        """
        rank = as_integer("rank", rank)
        # Keras has no public way to visit all layers.
        found = {
            layer.name
            for layer in self._flatten_layers(include_self=False)
            if layer.weights and hasattr(layer, "enable_lora")
        }
        names = target_layer_names
        if names is None:
            names = found.intersection(self.default_lora_layer_names())
        if not names or set(names) - found:
            raise ValueError(
                "`target_layer_names` must be names of layers that can have "
                f"LoRA. Received: {target_layer_names!r}. Pass some of "
                f"{sorted(found)}, or `None`."
            )
        super().enable_lora(rank, sorted(set(names)))
