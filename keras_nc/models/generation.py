"""How the language models continue prompts."""

import keras
import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding.inputs import as_batch
from keras_nc.models.stop_strings import cut_after
from keras_nc.models.stop_strings import to_stop_strings
from keras_nc.models.streaming import PIECE_LENGTH
from keras_nc.models.streaming import StreamsBytes
from keras_nc.models.streaming import settles_tokens
from keras_nc.models.training import is_tf_dataset
from keras_nc.models.window_mask import WindowMask


class GeneratesBytes(StreamsBytes):
    """Mixin of `DecoderCausalLM`: cached generation with exact prompts."""

    def generate_step(self, inputs, stop_token_ids=None):
        """Generate one batch; compiled by `generate`.

        Args:
            inputs: A dict with `"token_ids"` and `"padding_mask"` of shape
                `(B, S)`, and for exact prompting `"code_low"`,
                `"code_high"`, `"other_codes"`, `"may_end"` and
                `"bounds"`; see `WindowMask`. With `"until"`, only a piece;
                see `StreamsBytes`.
            stop_token_ids: Ids that end a row, or `None`.

        Returns:
            A dict of `"token_ids"` and `"padding_mask"`, `(B, S)` each.
        """
        if "until" in inputs:
            return self._generate_piece(inputs)
        token_ids = inputs["token_ids"]
        padding_mask = ops.cast(inputs["padding_mask"], "bool")
        lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=-1)
        hidden, cache = self._read_prompts(token_ids)
        token_ids = self.sampler(
            next=self._next_logits(inputs, lengths),
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

    def _read_prompts(self, token_ids):
        """One pass over the whole prompts: hidden states and the cache."""
        cache = self.backbone.empty_cache(*token_ids.shape)
        return self.backbone.call_with_cache(token_ids, cache, 0)

    def _next_logits(self, inputs, lengths):
        """What samplers ask for the logits of position `index`."""
        mask = self._window_mask(inputs, lengths)

        def next_logits(prompt, cache, index):
            previous = ops.slice(prompt, [0, index - 1], [prompt.shape[0], 1])
            hidden, cache = self.backbone.call_with_cache(
                previous, cache, index - 1
            )
            logits = self.backbone.token_embedding(hidden, reverse=True)
            logits = mask(logits[:, 0], prompt, index)
            return logits, hidden[:, 0], cache

        return next_logits

    def _window_mask(self, inputs, lengths):
        """The ids that may come next, by the tokenizer's layout."""
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        if tokenizer is None:
            return lambda logits, token_ids, index: logits
        layout = tokenizer.layout
        none = ops.zeros((lengths.shape[0], 1), dtype="int32")
        return WindowMask(
            layout,
            lengths,
            inputs.get("code_low", none),
            inputs.get("code_high", none + layout.num_codes),
            inputs.get("other_codes", none[:, :, None][:, :, :0]),
            inputs.get("may_end"),
            inputs.get("bounds"),
        )

    def generate(
        self,
        inputs,
        max_length=None,
        stop_token_ids="auto",
        strip_prompt=False,
        stop=None,
    ):
        """Continue prompts, byte for byte.

        The result begins with the prompt's bytes, wherever they end: inside a
        word, a window or a UTF-8 sequence.

        Args:
            inputs: A `str` or `bytes`, a list or array of them, a
                `tf.data.Dataset` of them or of batches of them, or what
                `generate_step` takes.
            max_length: int. Tokens of prompt and continuation together, the
                start id included; the preprocessor's `sequence_length` if
                `None`.
            stop_token_ids: `"auto"` for the end id, a list of ids, or `None`.
                The end id comes only where it is one of them.
            strip_prompt: bool. Whether to return the continuation's bytes only.
            stop: A `str` or `bytes`, or several: a text ends right after the
                first of them that its continuation holds, wherever tokens
                begin and end. The prompt is not searched.

        Returns:
            `str` for `str` (undecodable bytes replaced) and `bytes` for
            `bytes`; a list for a list; what `generate_step` returns for what
            it takes.

        Raises:
            ValueError: If a prompt does not fit `max_length`, a stop string
                is empty, or ids are given with stop strings.
        """
        stops = to_stop_strings(stop)
        if stops and (self.preprocessor is None or isinstance(inputs, dict)):
            raise ValueError(
                "`stop` is looked for in text, so prompts must be text. "
                f"Received: stop={stop!r} and token ids, or a model without "
                "a preprocessor. Pass `stop_token_ids`."
            )
        if self.preprocessor is None:
            return super().generate(
                inputs, max_length, stop_token_ids, strip_prompt
            )
        stop_token_ids = self._stop_token_ids(stop_token_ids)
        if isinstance(inputs, dict):
            outputs = self._generate_batch(inputs, stop_token_ids)
            return {k: ops.convert_to_numpy(v) for k, v in outputs.items()}
        if is_tf_dataset(inputs):
            outputs = []
            for batch in inputs.as_numpy_iterator():
                batch = [batch] if isinstance(batch, bytes) else list(batch)
                outputs += self.generate(
                    batch, max_length, stop_token_ids, strip_prompt, stop
                )
            return outputs
        if hasattr(inputs, "__next__"):
            inputs = list(inputs)
        # Exact bytes, and what each prompt was, for results of its type.
        documents, batched = as_batch(inputs)
        if not documents:
            return []
        texts = self._continue(documents, max_length, stop_token_ids, stops)
        if not strip_prompt:
            texts = [d + text for d, text in zip(documents, texts, strict=True)]
        given = inputs if batched else [inputs]
        texts = [
            text.decode(errors="replace") if isinstance(prompt, str) else text
            for text, prompt in zip(texts, given, strict=True)
        ]
        return texts if batched else texts[0]

    def _continue(self, documents, max_length, stop_token_ids, stops):
        """Continuations of documents, a list of bytes."""
        if stops and settles_tokens(self.sampler):
            *_, texts = self._growing(
                documents, max_length, stop_token_ids, stops, PIECE_LENGTH
            )
            return texts
        encoded = self._encode_prompts(documents, max_length, stop_token_ids)
        outputs = self._generate_batch(encoded, stop_token_ids)
        texts = self.preprocessor.generate_postprocess(outputs)
        return [
            cut_after(text[len(document) :], stops)[0]
            for text, document in zip(texts, documents, strict=True)
        ]

    def _encode_prompts(self, documents, max_length, stop_token_ids):
        """What `generate_step` takes, NumPy arrays."""
        encoded = self.preprocessor.generate_preprocess(
            documents, sequence_length=max_length
        )
        # After an end that ends nothing, windows of several tokens would begin
        # elsewhere.
        may_end = stop_token_ids is not None and END_ID in stop_token_ids
        encoded["may_end"] = np.full(len(documents), may_end)
        return encoded

    def _generate_batch(self, inputs, stop_token_ids):
        """Run the compiled `generate_step`."""
        inputs = keras.tree.map_structure(ops.convert_to_tensor, dict(inputs))
        generate = self.make_generate_function()
        return generate(inputs, stop_token_ids=stop_token_ids)

    def _stop_token_ids(self, stop_token_ids):
        """Stop ids as a tuple of ints, or `None`."""
        if isinstance(stop_token_ids, str) and stop_token_ids == "auto":
            return (self.preprocessor.tokenizer.end_token_id,)
        if stop_token_ids is None:
            return None
        stops = tuple(int(i) for i in np.ravel(stop_token_ids))
        if not stops:
            raise ValueError(
                "`stop_token_ids` must be 'auto', `None` or at least one id. "
                f"Received: {stop_token_ids}. Pass `None` not to stop."
            )
        return stops
