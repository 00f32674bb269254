"""How the language models continue prompts.

`generate_step` is compiled; see `sampling.py`. `generate` runs it once. A stop
string is bytes, and ids can spell it in many ways, so the compiled function
cannot look for it. With stop strings, and in `generate_stream`, the function
pauses every few ids, and Python looks at the new bytes. The position of the
next pause is a tensor, so one compiled function serves all parts. Keys and
values go from one part to the next.
"""

import keras
import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding.checks import as_integer
from keras_nc.coding.inputs import as_batch
from keras_nc.models.growing_texts import GrowingTexts
from keras_nc.models.growing_texts import new_parts
from keras_nc.models.growing_texts import to_stop_strings
from keras_nc.models.prompt_ids import encode_ids
from keras_nc.models.prompt_ids import join_batches
from keras_nc.models.prompt_ids import strip_prompts
from keras_nc.models.prompt_ids import to_stop_ids
from keras_nc.models.sampling import generate_batch
from keras_nc.models.sampling import is_beam_search
from keras_nc.models.sampling import to_sampler
from keras_nc.models.training import is_tf_dataset

#: Ids to generate before the next look at the bytes.
PIECE_LENGTH = 8


class Generates:
    """Mixin of `DecoderCausalLM`: cached generation with exact prompts."""

    def generate_step(self, inputs, stop_token_ids=None):
        """Generate one batch; compiled by `generate`.

        Args:
            inputs: A dict with `"token_ids"` and `"padding_mask"` of shape
                `(B, S)`, and, for exact prompting, `"next_low"`, `"next_high"`,
                `"next_others"`, `"may_end"`, `"window_start"` and `"bounds"`;
                see `PromptMask`. With `"until"`, a scalar, the loop pauses
                before that position. The first such call only reads the
                prompts. To go on, put the `"token_ids"`, `"cache"` and
                `"index"` that it returns among the inputs.
            stop_token_ids: A tuple of ids that end a row, or `None`.

        Returns:
            A dict of `"token_ids"` and `"padding_mask"`, `(B, S)` each, with
            pads after the end of a row; and `"ended"`, a bool tensor of shape
            `(B,)`. With `"until"`, also the `"cache"` and the `"index"` of the
            next position.
        """
        return generate_batch(self, inputs, stop_token_ids)

    def generate(
        self,
        inputs,
        max_length=None,
        stop_token_ids="auto",
        strip_prompt=False,
        stop=None,
    ):
        """Continue prompts, byte for byte.

        The result begins with the prompt's bytes, even if they end inside a
        word, a window or a UTF-8 sequence.

        Args:
            inputs: A `str` or `bytes`, a list or array of them, or token ids:
                a dict of `"token_ids"`, integers of shape `(B, S)`, and
                `"padding_mask"`, 1 for ids of the prompt and 0 for the padding
                on the right (by default, 0 where ids are pads). Or a
                `tf.data.Dataset` of texts, or of batches of texts or ids.
            max_length: int. Tokens of prompt and continuation together, the
                start id included. By default the preprocessor's
                `sequence_length` for text, and `S` for token ids.
            stop_token_ids: `"auto"` for the end id, a list of ids, or `None`.
                The end id is generated only if it is one of them.
            strip_prompt: bool. Whether to return continuations only.
            stop: A `str` or `bytes`, or several of them. A text ends right
                after the first stop string in its continuation, which may begin
                and end inside a token. The prompt is not searched. For text
                only.

        Returns:
            `str` for `str` (undecodable bytes replaced) and `bytes` for
            `bytes`; a list for a list. For token ids a dict of `"token_ids"`,
            int32, and `"padding_mask"`, bool, arrays of shape
            `(B, max_length)`, with pads on the right.

        Raises:
            ValueError: If a prompt does not fit `max_length`; if token ids are
                out of range, padded on the left or in the middle, or given with
                stop strings; or if there is text but no preprocessor.
            TypeError: If an argument has the wrong type.
        """
        stops = to_stop_strings(stop)
        stop_token_ids = to_stop_ids(
            stop_token_ids, self.backbone.vocabulary_size
        )
        if max_length is not None:
            max_length = as_integer("max_length", max_length, 1)
        if is_tf_dataset(inputs):
            results = [
                self.generate(
                    to_batch(batch),
                    max_length,
                    stop_token_ids,
                    strip_prompt,
                    stop,
                )
                for batch in inputs.as_numpy_iterator()
            ]
            return join_batches(results)
        if isinstance(inputs, dict):
            if stops:
                raise ValueError(
                    "`stop` is looked for in text, so prompts must be text. "
                    f"Received: stop={stop!r} and token ids. Pass "
                    "`stop_token_ids`."
                )
            return self._generate_ids(
                inputs, max_length, stop_token_ids, strip_prompt
            )
        documents, as_str, batched = self._documents(inputs)
        if not documents:
            return []
        encoded = self._encode(documents, max_length, stop_token_ids)
        in_pieces = stops and not is_beam_search(self.sampler)
        *_, texts = self._continue(
            documents,
            encoded,
            stop_token_ids,
            stops,
            PIECE_LENGTH if in_pieces else None,
        )
        if not strip_prompt:
            texts = [d + text for d, text in zip(documents, texts, strict=True)]
        texts = [
            text.decode(errors="replace") if is_str else text
            for text, is_str in zip(texts, as_str, strict=True)
        ]
        return texts if batched else texts[0]

    def generate_stream(
        self,
        inputs,
        max_length=None,
        stop_token_ids="auto",
        stop=None,
        piece_length=PIECE_LENGTH,
    ):
        """Continue prompts, and yield the new bytes as windows complete.

        The joined parts equal the result of `generate` with
        `strip_prompt=True`, if the sampler is in the same state.

        Args:
            inputs: A `str` or `bytes`, or a list or array of them.
            max_length: See `generate`.
            stop_token_ids: See `generate`.
            stop: See `generate`.
            piece_length: int. Tokens to generate before each yield.

        Returns:
            For one prompt, an iterator of `bytes`; for several, an iterator of
            lists with `bytes` for each prompt. A `str` prompt gives `str`;
            incomplete UTF-8 is held back until it is complete.

        Raises:
            ValueError: If a prompt does not fit `max_length`, if there is no
                preprocessor, or if the sampler is beam search, which settles no
                byte before the end.
            TypeError: If an argument has the wrong type.
        """
        if isinstance(inputs, dict):
            raise ValueError(
                "`generate_stream` yields text, so prompts must be text. "
                "Received: token ids. Pass them to `generate`."
            )
        stops = to_stop_strings(stop)
        stop_token_ids = to_stop_ids(
            stop_token_ids, self.backbone.vocabulary_size
        )
        piece_length = as_integer("piece_length", piece_length, 1)
        if max_length is not None:
            max_length = as_integer("max_length", max_length, 1)
        documents, as_str, batched = self._documents(inputs)
        if is_beam_search(self.sampler):
            raise ValueError(
                "`generate_stream` needs a sampler that chooses one id after "
                "the other: greedy, top_k, top_p or random. Received: sampler="
                f"{type(self.sampler).__name__}. Use `generate`, or compile "
                "with another sampler."
            )
        if not documents:
            return iter([])
        encoded = self._encode(documents, max_length, stop_token_ids)
        growing = self._continue(
            documents, encoded, stop_token_ids, stops, piece_length
        )
        parts = new_parts(growing, as_str)
        return parts if batched else (part for (part,) in parts if part)

    def _documents(self, inputs):
        """Return prompts as bytes, which were `str`, and if they were many."""
        if self.preprocessor is None:
            raise ValueError(
                "Text needs a tokenizer. Received: a model with "
                "preprocessor=None. Create it with a preprocessor, or pass "
                'token ids to `generate`, as {"token_ids": ...}.'
            )
        if hasattr(inputs, "__next__"):
            inputs = list(inputs)
        dtype = str(getattr(inputs, "dtype", "text"))
        numbers = any(kind in dtype for kind in ("int", "float", "bool"))
        if numbers and dtype != "uint8":  # an array of bytes is a text
            raise TypeError(
                "Prompts must be text, or a dict of token ids. Received: an "
                f'array of {dtype}. Pass {{"token_ids": ...}}.'
            )
        documents, batched = as_batch(inputs)
        given = inputs if batched else [inputs]
        return documents, [isinstance(x, str) for x in given], batched

    def _encode(self, documents, max_length, stop_token_ids):
        """Encode prompts: NumPy arrays, as `generate_step` takes them."""
        encoded = self.preprocessor.generate_preprocess(
            documents, sequence_length=max_length
        )
        return {**encoded, "may_end": may_end(len(documents), stop_token_ids)}

    def _generate_ids(self, inputs, max_length, stop_token_ids, strip_prompt):
        """Continue prompts that are token ids."""
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        encoded = encode_ids(
            inputs, max_length, self.backbone.vocabulary_size, tokenizer
        )
        B = len(encoded["token_ids"])
        encoded.setdefault("may_end", may_end(B, stop_token_ids))
        outputs = encoded
        if B:
            outputs = self._generate_batch(encoded, stop_token_ids)
        token_ids, mask = to_arrays(outputs)
        if strip_prompt:
            prompts = encoded["padding_mask"]
            token_ids, mask = strip_prompts(token_ids, mask, prompts)
        return {"token_ids": token_ids, "padding_mask": mask}

    def _generate_batch(self, encoded, stop_token_ids):
        """Run the compiled `generate_step`."""
        # Somebody may have set the attribute without `compile`.
        to_sampler(self.sampler, self.backbone.vocabulary_size)
        generate = self.make_generate_function()
        inputs = keras.tree.map_structure(ops.convert_to_tensor, encoded)
        return generate(inputs, stop_token_ids=stop_token_ids)

    def _generate_parts(self, encoded, stop_token_ids, step):
        """Yield what `generate_step` returns after every `step` ids."""
        until = int(encoded["padding_mask"].sum(axis=-1).min())
        inputs = {**encoded, "until": np.int32(until)}
        outputs = self._generate_batch(inputs, stop_token_ids)
        while True:
            until = min(until + step, encoded["token_ids"].shape[1])
            inputs["until"] = np.int32(until)
            for name in ("token_ids", "cache", "index"):
                inputs[name] = outputs[name]
            outputs = self._generate_batch(inputs, stop_token_ids)
            yield outputs
            if ops.convert_to_numpy(outputs["ended"]).all():
                return

    def _continue(self, documents, encoded, stop_token_ids, stops, step):
        """Yield the continuations of documents as they grow, lists of bytes.

        With `step=None`, they are yielded once, at the end.
        """
        if step is None:
            parts = [self._generate_batch(encoded, stop_token_ids)]
        else:
            parts = self._generate_parts(encoded, stop_token_ids, step)
        texts = GrowingTexts(self.preprocessor.tokenizer, documents, stops)
        for outputs in parts:
            texts.update(*to_arrays(outputs))
            yield texts.continuations()
            ended = ops.convert_to_numpy(outputs["ended"])
            if np.all(ended | texts.stopped()):
                return


def to_arrays(outputs):
    """Return generated ids and their mask as NumPy arrays."""
    return tuple(
        ops.convert_to_numpy(outputs[name])
        for name in ("token_ids", "padding_mask")
    )


def may_end(rows, stop_token_ids):
    """Tell for every row whether the end id may come.

    It may not come if it is not a stop id. The row would go on after it, and
    windows of several tokens would be misaligned.
    """
    return np.full(rows, END_ID in (stop_token_ids or ()))


def to_batch(batch):
    """Convert an element of a `tf.data.Dataset` to input for `generate`."""
    if isinstance(batch, tuple):
        raise TypeError(
            "A data set of prompts must yield texts, batches of texts, or "
            "dicts of token ids. Received: a tuple. Leave out targets."
        )
    return [batch] if isinstance(batch, bytes) else batch
