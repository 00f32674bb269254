"""Generation in pieces: texts as they grow, and stop strings.

Stop strings are bytes, and any number of tokens may spell one. So the model
does not look for them; it generates a few tokens at a time, and between these
pieces the bytes are looked at. All pieces run one compiled function: where
they begin and end are tensors, and the cache goes from one to the next.
"""

import codecs

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_nc.coding.inputs import as_batch
from keras_nc.models.stop_strings import cut_after
from keras_nc.models.stop_strings import to_stop_strings

#: Tokens between two looks at the bytes.
PIECE_LENGTH = 8


class StreamsBytes:
    """Mixin of `GeneratesBytes`: continuations that can be seen growing."""

    def generate_stream(
        self,
        inputs,
        max_length=None,
        stop_token_ids="auto",
        stop=None,
        piece_length=PIECE_LENGTH,
    ):
        """Continue prompts, and yield the new bytes as windows complete.

        What is yielded, joined, is what `generate` returns with
        `strip_prompt=True`, by the same sampler in the same state.

        Args:
            inputs: A `str` or `bytes`, or a list or array of them.
            max_length: See `generate`.
            stop_token_ids: See `generate`.
            stop: See `generate`.
            piece_length: int. Tokens that are generated before what they
                stand for is yielded.

        Returns:
            An iterator of `bytes` for one prompt, and of lists of `bytes`,
            one for each prompt, for several. For `str` prompts it gives
            `str`, and holds incomplete UTF-8 back.

        Raises:
            ValueError: If a prompt does not fit `max_length`, or the sampler
                keeps several texts until the end, as beam search does.
        """
        if self.preprocessor is None:
            raise ValueError(
                "Streams of text need a tokenizer. Received: a model with "
                "preprocessor=None. Create it with a preprocessor, or pass "
                "ids to `generate`."
            )
        self._check_sampler()
        if piece_length < 1:
            raise ValueError(
                "`piece_length` must be a positive number of tokens. "
                f"Received: piece_length={piece_length}"
            )
        if hasattr(inputs, "__next__"):
            inputs = list(inputs)
        documents, batched = as_batch(inputs)
        given = inputs if batched else [inputs]
        parts = self._growing(
            documents,
            max_length,
            self._stop_token_ids(stop_token_ids),
            to_stop_strings(stop),
            piece_length,
        )
        parts = _new_parts(parts, [isinstance(x, str) for x in given])
        return parts if batched else (part for (part,) in parts if part)

    def _check_sampler(self):
        """Raise a ValueError unless the sampler settles token by token."""
        if not settles_tokens(self.sampler):
            raise ValueError(
                "Streaming needs a sampler that settles one token after the "
                "other: greedy, top_k, top_p or random. Received: sampler="
                f"{type(self.sampler).__name__}. Use `generate`, or compile "
                "with another sampler."
            )

    def _growing(self, documents, max_length, stop_token_ids, stops, step):
        """Check the arguments; an iterator of all continuations so far."""
        if not documents:
            return iter([])
        encoded = self._encode_prompts(documents, max_length, stop_token_ids)

        def grow():
            for token_ids, known in self._pieces(encoded, step):
                mask = known & up_to_stop(
                    token_ids, encoded["padding_mask"], stop_token_ids
                )
                texts = self.preprocessor.generate_postprocess(
                    {"token_ids": token_ids, "padding_mask": mask}
                )
                cut = [
                    cut_after(text[len(document) :], stops)
                    for text, document in zip(texts, documents, strict=True)
                ]
                yield [text for text, _ in cut]
                ended = ~(mask == known).all(axis=-1)
                if np.all(ended | [found for _, found in cut]):
                    return

        return grow()

    def _pieces(self, encoded, step):
        """Yield the ids so far, and which of them are there, `(B, S)`."""
        generate = self.make_generate_function()
        positions = np.arange(encoded["token_ids"].shape[1])
        index = int(encoded["padding_mask"].sum(axis=-1).min())
        inputs = keras.tree.map_structure(ops.convert_to_tensor, dict(encoded))

        def run(**state):
            return generate({**inputs, **state})

        def scalar(value):
            return ops.convert_to_tensor(value, "int32")

        state = run(until=scalar(index))
        while True:
            until = min(index + step, len(positions))
            state = run(**state, index=scalar(index), until=scalar(until))
            index = until
            known = encoded["padding_mask"] | (positions < index)
            yield ops.convert_to_numpy(state["token_ids"]), known
            if index == len(positions):
                return

    def _generate_piece(self, inputs):
        """One part of `generate_step`'s work.

        Args:
            inputs: What `generate_step` takes, and `"until"`: the position
                before which to stop. Without a `"cache"` prompts are only
                read; else `"index"` is the position to go on from.

        Returns:
            A dict of `"token_ids"` and `"cache"`, to go on with.
        """
        token_ids, until = inputs["token_ids"], inputs["until"]
        if "cache" not in inputs:
            _, cache = self._read_prompts(token_ids)
            return {"token_ids": token_ids, "cache": cache}
        given = ops.cast(inputs["padding_mask"], "bool")
        lengths = ops.sum(ops.cast(given, "int32"), axis=-1)
        next_logits = self._next_logits(inputs, lengths)
        sampler = self.sampler

        def unfinished(token_ids, cache, index):
            return index < until

        def generate_one(token_ids, cache, index):
            logits, _, cache = next_logits(token_ids, cache, index)
            probabilities = sampler.compute_probabilities(logits)
            ids = sampler.get_next_token(probabilities)
            ids = ops.cast(ids, token_ids.dtype)
            ids = ops.where(given[:, index], token_ids[:, index], ids)
            token_ids = ops.slice_update(token_ids, [0, index], ids[:, None])
            return token_ids, cache, index + 1

        token_ids, cache, _ = sampler.run_loop(
            unfinished,
            generate_one,
            model=self,
            loop_vars=(token_ids, inputs["cache"], inputs["index"]),
        )
        return {"token_ids": token_ids, "cache": cache}


def settles_tokens(sampler):
    """Whether a sampler's loop is that of keras-hub's base class."""
    return type(sampler).__call__ is keras_hub.samplers.Sampler.__call__


def up_to_stop(token_ids, given, stop_token_ids):
    """True up to and with the first stop id that was not given, `(B, S)`."""
    if stop_token_ids is None:
        return np.ones_like(given)
    stops = (np.isin(token_ids, stop_token_ids) & ~given).astype("int32")
    return np.cumsum(stops, axis=-1) - stops == 0


def _new_parts(growing, as_str):
    """What is new in texts that grow, as `str` where asked for."""
    decoders = [
        codecs.getincrementaldecoder("utf-8")("replace") if one else None
        for one in as_str
    ]

    def decode(i, part, final=False):
        return decoders[i].decode(part, final) if decoders[i] else part

    lengths = [0] * len(as_str)
    for texts in growing:
        parts = []
        for i, text in enumerate(texts):
            parts.append(decode(i, text[lengths[i] :]))
            lengths[i] = len(text)
        if any(parts):
            yield parts
    last = [decode(i, b"", final=True) for i in range(len(as_str))]
    if any(last):
        yield last
