"""How the language models continue prompts.

`generate_step` is compiled; see `sampling.py`. `generate` runs it once. A stop
string is bytes, and ids can spell it in many ways, so the compiled function
cannot look for it. With stop strings, and in `generate_stream`, the function
pauses every few ids, and Python looks at the new bytes. The position of the
next pause is a tensor, so one compiled function serves all parts. Keys and
values go from one part to the next.
"""

import codecs

import keras
import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding.inputs import as_batch
from keras_nc.coding.inputs import as_integer
from keras_nc.models.ids import encode_ids
from keras_nc.models.ids import fit
from keras_nc.models.ids import to_limits
from keras_nc.models.sampling import is_beam_search
from keras_nc.models.sampling import to_sampler
from keras_nc.models.training import is_tf_dataset

#: Ids to generate before the next look at the bytes.
PIECE_LENGTH = 8


def generate(model, inputs, max_length, stop_token_ids, strip_prompt, stop):
    """Continue prompts; see `DecoderCausalLM.generate`."""
    stops, stop_token_ids, max_length = to_limits(
        stop, stop_token_ids, max_length, model.backbone.vocabulary_size
    )
    if is_tf_dataset(inputs):
        results = [
            generate(
                model,
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
        return generate_ids(
            model, inputs, max_length, stop_token_ids, strip_prompt
        )
    documents, as_str, batched = to_documents(model, inputs)
    if not documents:
        return []
    encoded = encode(model, documents, max_length, stop_token_ids)
    in_pieces = stops and not is_beam_search(model.sampler)
    *_, texts = continuations(
        model,
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
    model, inputs, max_length, stop_token_ids, stop, piece_length
):
    """Yield new bytes; see `DecoderCausalLM.generate_stream`."""
    if isinstance(inputs, dict):
        raise ValueError(
            "`generate_stream` yields text, so prompts must be text. "
            "Received: token ids. Pass them to `generate`."
        )
    stops, stop_token_ids, max_length = to_limits(
        stop, stop_token_ids, max_length, model.backbone.vocabulary_size
    )
    piece_length = as_integer("piece_length", piece_length, 1)
    documents, as_str, batched = to_documents(model, inputs)
    if is_beam_search(model.sampler):
        raise ValueError(
            "`generate_stream` needs a sampler that chooses one id after "
            "the other: greedy, top_k, top_p or random. Received: sampler="
            f"{type(model.sampler).__name__}. Use `generate`, or compile "
            "with another sampler."
        )
    if not documents:
        return iter([])
    encoded = encode(model, documents, max_length, stop_token_ids)
    growing = continuations(
        model, documents, encoded, stop_token_ids, stops, piece_length
    )
    parts = new_parts(growing, as_str)
    return parts if batched else (part for (part,) in parts if part)


def to_documents(model, inputs):
    """Return prompts as bytes, which were `str`, and if they were many."""
    if model.preprocessor is None:
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


def encode(model, documents, max_length, stop_token_ids):
    """Encode prompts: NumPy arrays, as `generate_step` takes them."""
    encoded = model.preprocessor.generate_preprocess(
        documents, sequence_length=max_length
    )
    return {**encoded, "may_end": may_end(len(documents), stop_token_ids)}


def generate_ids(model, inputs, max_length, stop_token_ids, strip_prompt):
    """Continue prompts that are token ids."""
    tokenizer = getattr(model.preprocessor, "tokenizer", None)
    encoded = encode_ids(
        inputs, max_length, model.backbone.vocabulary_size, tokenizer
    )
    B = len(encoded["token_ids"])
    encoded.setdefault("may_end", may_end(B, stop_token_ids))
    outputs = encoded
    if B:
        outputs = run_step(model, encoded, stop_token_ids)
    token_ids, mask = to_arrays(outputs)
    if strip_prompt:
        prompts = encoded["padding_mask"]
        token_ids, mask = strip_prompts(token_ids, mask, prompts)
    return {"token_ids": token_ids, "padding_mask": mask}


def run_step(model, encoded, stop_token_ids):
    """Run the compiled `generate_step`."""
    # Somebody may have set the attribute without `compile`.
    to_sampler(model.sampler, model.backbone.vocabulary_size)
    step = model.make_generate_function()
    inputs = keras.tree.map_structure(ops.convert_to_tensor, encoded)
    return step(inputs, stop_token_ids=stop_token_ids)


def run_in_parts(model, encoded, stop_token_ids, step):
    """Yield what `generate_step` returns after every `step` ids."""
    until = int(encoded["padding_mask"].sum(axis=-1).min())
    inputs = {**encoded, "until": np.int32(until)}
    outputs = run_step(model, inputs, stop_token_ids)
    while True:
        until = min(until + step, encoded["token_ids"].shape[1])
        inputs["until"] = np.int32(until)
        for name in ("token_ids", "cache", "index"):
            inputs[name] = outputs[name]
        outputs = run_step(model, inputs, stop_token_ids)
        yield outputs
        if ops.convert_to_numpy(outputs["ended"]).all():
            return


def continuations(model, documents, encoded, stop_token_ids, stops, step):
    """Yield the continuations of documents as they grow, lists of bytes.

    With `step=None`, they are yielded once, at the end.
    """
    if step is None:
        parts = [run_step(model, encoded, stop_token_ids)]
    else:
        parts = run_in_parts(model, encoded, stop_token_ids, step)
    texts = GrowingTexts(model.preprocessor.tokenizer, documents, stops)
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

    It may come only if it is a stop id. Otherwise the row would continue after
    it, and windows of several tokens would be misaligned.
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


def strip_prompts(token_ids, mask, prompts):
    """Shift the generated ids to the left, and put pads after them.

    Args:
        token_ids: An int array of shape `(B, S)`.
        mask: A bool array of shape `(B, S)`: where there are ids.
        prompts: A bool array of shape `(B, S)`: where prompts are.

    Returns:
        The new `token_ids` and `mask`.
    """
    new = mask & ~prompts
    new_mask = np.arange(new.shape[1]) < new.sum(axis=-1, keepdims=True)
    stripped = np.full_like(token_ids, PAD_ID)
    stripped[new_mask] = token_ids[new]
    return stripped, new_mask


def join_batches(results):
    """Join the results of batches: lists of texts, or dicts of ids."""
    if not results or not isinstance(results[0], dict):
        return [text for texts in results for text in texts]
    length = max(result["token_ids"].shape[1] for result in results)
    joined = {
        name: np.concatenate([fit(result[name], length) for result in results])
        for name in results[0]
    }
    joined["padding_mask"] = joined["padding_mask"].astype(bool)
    return joined


# === Growing texts ===


class GrowingTexts:
    """The bytes of rows of ids that grow, up to stop strings.

    If every window has bytes of its own, each window is decoded once. If a code
    stands for a whole document, it is decoded again whenever it grows.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`.
        documents: A list of bytes, the prompts.
        stops: A list of bytes, the stop strings.
    """

    def __init__(self, tokenizer, documents, stops):
        self._tokenizer = tokenizer
        self._starts = [len(document) for document in documents]
        self._stops = stops
        self._texts = [b""] * len(documents)
        self._decoded = [0] * len(documents)
        self._ends = [None] * len(documents)
        layout = tokenizer.layout
        lengths = (tokenizer.token_lengths, layout.code_lengths)
        self._per_window = None
        if any(length is not None for length in lengths):
            self._per_window = layout.tokens_per_window

    def update(self, token_ids, mask):
        """Decode the new ids.

        Args:
            token_ids: An int array of shape `(B, S)`.
            mask: A bool array of shape `(B, S)`: where there are ids.
        """
        special = self._tokenizer.special_token_ids
        known = mask & ~np.isin(token_ids, special)
        rows = [row[at] for row, at in zip(token_ids, known, strict=True)]
        texts = self._decode(rows)
        overlap = max(map(len, self._stops), default=1) - 1
        for i, text in enumerate(texts):
            if self._ends[i] is None:
                seen = max(self._starts[i], len(self._texts[i]) - overlap)
                self._ends[i] = end_of_stop(text, self._stops, seen)
        self._texts = texts

    def _decode(self, rows):
        """Return the bytes of all rows."""
        if self._per_window is None:
            return self._tokenizer.decode_generated(rows)
        complete = [len(row) - len(row) % self._per_window for row in rows]
        new = self._tokenizer.decode_generated(
            [
                row[start:end]
                for row, start, end in zip(
                    rows, self._decoded, complete, strict=True
                )
            ]
        )
        self._decoded = complete
        return [a + b for a, b in zip(self._texts, new, strict=True)]

    def continuations(self):
        """Return the bytes after the prompts, up to a stop string's end."""
        return [
            text[start:end]
            for text, start, end in zip(
                self._texts, self._starts, self._ends, strict=True
            )
        ]

    def stopped(self):
        """Return which rows hold a stop string, a bool array `(B,)`."""
        return np.array([end is not None for end in self._ends])


def end_of_stop(text, stops, start=0):
    """Find the end of the stop string that is complete first.

    Args:
        text: bytes.
        stops: A list of bytes.
        start: int. Where the search begins.

    Returns:
        int, or `None` if the text holds none.

    Example:
    >>> end_of_stop(b"one, two. three.", [b".", b"e."])
    9
    """
    found = ((text.find(stop, start), len(stop)) for stop in stops)
    return min((at + n for at, n in found if at >= 0), default=None)


def new_parts(growing, as_str):
    """Yield the new part of each growing text.

    Args:
        growing: An iterable of lists of bytes.
        as_str: A list of bool: which texts are yielded as `str`.
    """
    decoders = [
        codecs.getincrementaldecoder("utf-8")("replace") if is_str else None
        for is_str in as_str
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
