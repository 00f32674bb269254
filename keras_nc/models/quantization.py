"""Quantization of a whole model."""

import keras
from keras.src.quantizers.utils import should_quantize_layer

#: What has most of the weights. The embedding table is left as it is.
_QUANTIZED = (keras.layers.Dense, keras.layers.EinsumDense)


class Quantizes:
    """Mixin of `DecoderCausalLM`: `quantize` of a model with a tokenizer."""

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Quantize the projections of all blocks, for inference.

        The embedding table, which gives the logits, keeps its precision, as
        norms and biases do.

        Args:
            mode: str. `"int8"`, or another mode of `keras.Model.quantize`.
            config: See `keras.Model.quantize`.
            filters: See `keras.Model.quantize`; of the projections only.
            **kwargs: See `keras.Model.quantize`.
        """

        def chosen(layer):
            # Keras would warn of each layer that it cannot quantize.
            known = isinstance(layer, _QUANTIZED)
            return known and should_quantize_layer(layer, filters)

        self.backbone.quantize(mode, config=config, filters=chosen, **kwargs)
        self.train_function = None
        self.test_function = None
        self.predict_function = None
        self.generate_function = None
