"""How the language models continue prompts."""

import keras
from keras import ops

from keras_nc.models.window_mask import WindowMask


class GeneratesBytes:
    """Mixin of `DecoderCausalLM`: cached generation with exact prompts."""

    def generate_step(self, inputs, stop_token_ids=None):
        """Generate one batch; compiled by `generate`.

        Args:
            inputs: A dict with `"token_ids"` and `"padding_mask"` of shape
                `(B, S)`, and for exact prompting `"code_low"` and
                `"code_high"` of shape `(B,)`; see `WindowMask`.
            stop_token_ids: Ids that end a row, or `None`.

        Returns:
            A dict of `"token_ids"` and `"padding_mask"`, `(B, S)` each.
        """
        token_ids = inputs["token_ids"]
        padding_mask = ops.cast(inputs["padding_mask"], "bool")
        batch_size, length = token_ids.shape
        lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=-1)
        mask = self._window_mask(inputs, lengths)
        cache = self.backbone.empty_cache(batch_size, length)
        # One pass over the whole prompt seeds the cache.
        hidden, cache = self.backbone.call_with_cache(token_ids, cache, 0)

        def next_logits(prompt, cache, index):
            previous = ops.slice(prompt, [0, index - 1], [prompt.shape[0], 1])
            hidden, cache = self.backbone.call_with_cache(
                previous, cache, index - 1
            )
            logits = self.backbone.token_embedding(hidden, reverse=True)
            logits = mask(logits[:, 0], prompt, index)
            return logits, hidden[:, 0], cache

        token_ids = self.sampler(
            next=next_logits,
            prompt=token_ids,
            cache=cache,
            index=ops.min(lengths),
            mask=padding_mask,
            stop_token_ids=stop_token_ids,
            hidden_states=hidden,
            model=self,
        )
        if stop_token_ids is None:
            padding_mask = ops.ones_like(padding_mask)
        else:
            stops = ops.zeros_like(padding_mask)
            for stop in stop_token_ids:
                stops = stops | (token_ids == stop)
            stops = ops.cast(stops & ~padding_mask, "int32")
            # True up to and with the first new stop id.
            padding_mask = ops.cumsum(stops, axis=-1) - stops == 0
        return {"token_ids": token_ids, "padding_mask": padding_mask}

    def _window_mask(self, inputs, lengths):
        """The ids that may come next, by the tokenizer's layout."""
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        if tokenizer is None:
            return lambda logits, token_ids, index: logits
        layout = tokenizer.layout
        everything = ops.ones_like(lengths)
        return WindowMask(
            layout,
            lengths,
            inputs.get("code_low", everything * 0),
            inputs.get("code_high", everything * layout.num_codes),
        )

    def generate(
        self, inputs, max_length=None, stop_token_ids="auto", strip_prompt=False
    ):
        """Continue prompts, byte for byte.

        The result begins with the prompt's bytes, wherever they end: inside a
        word, a window or a UTF-8 sequence.

        Args:
            inputs: A `str` or `bytes`, a list of them, a `tf.data.Dataset` of
                batches of them, or, without a preprocessor, what
                `generate_step` takes.
            max_length: int. Tokens of prompt and continuation together, the
                start id included; the preprocessor's `sequence_length` if
                `None`.
            stop_token_ids: `"auto"` for the end id, a list of ids, or `None`.
            strip_prompt: bool. Whether to return the continuation's bytes only.

        Returns:
            `str` for `str` (undecodable bytes replaced) and `bytes` for
            `bytes`; a list for a list.

        Raises:
            ValueError: If a prompt does not fit `max_length`.
        """
        if self.preprocessor is None or isinstance(inputs, dict):
            return super().generate(
                inputs, max_length, stop_token_ids, strip_prompt
            )
        if isinstance(inputs, (str, bytes)):
            return self.generate(
                [inputs], max_length, stop_token_ids, strip_prompt
            )[0]
        if hasattr(inputs, "as_numpy_iterator"):
            outputs = []
            for batch in inputs.as_numpy_iterator():
                outputs += self.generate(
                    list(batch), max_length, stop_token_ids, strip_prompt
                )
            return outputs
        if stop_token_ids == "auto":
            stop_token_ids = [self.preprocessor.tokenizer.end_token_id]
        prompts = list(inputs)
        if not prompts:
            return []
        encoded = self.preprocessor.generate_preprocess(
            prompts, sequence_length=max_length
        )
        outputs = self.make_generate_function()(
            keras.tree.map_structure(ops.convert_to_tensor, encoded),
            stop_token_ids=stop_token_ids,
        )
        texts = self.preprocessor.generate_postprocess(outputs)
        return [
            continuation(prompt, text, strip_prompt)
            for prompt, text in zip(prompts, texts, strict=True)
        ]


def continuation(prompt, text, strip_prompt):
    """What `generate` returns for a prompt, of the prompt's own type."""
    if strip_prompt:
        skipped = prompt.encode() if isinstance(prompt, str) else prompt
        text = text[len(skipped) :]
    return text.decode(errors="replace") if isinstance(prompt, str) else text
