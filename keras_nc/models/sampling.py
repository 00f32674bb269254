"""The compiled part of generation: read prompts and sample ids.

One loop serves all samplers except beam search. Beam search keeps several texts
until the end, so it has a loop of its own.
"""

import keras_hub
import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import PAD_ID
from keras_nc.coding.inputs import as_integer
from keras_nc.models.prompt_mask import FORBIDDEN
from keras_nc.models.prompt_mask import PromptMask

#: Samplers that `compile` takes by name.
SAMPLERS = ("greedy", "top_k", "top_p", "random", "beam")


def generate_batch(model, inputs, stop_token_ids=None):
    """Read the prompts of a batch and sample ids; see `generate_step`."""
    with model.backbone.token_embedding.shared_table():
        return _generate_batch(model, inputs, stop_token_ids)


def _generate_batch(model, inputs, stop_token_ids):
    token_ids = inputs["token_ids"]
    B, S = token_ids.shape
    given = ops.cast(inputs["padding_mask"], "bool")
    lengths = ops.sum(ops.cast(given, "int32"), axis=-1)
    rows = Rows(given, stop_token_ids, model.backbone.vocabulary_size)
    next_logits = next_logits_of(model, inputs, lengths)
    if "cache" in inputs:
        cache, index = inputs["cache"], inputs["index"]
    else:
        cache = model.backbone.empty_cache(B, S)
        _, cache = model.backbone.call_with_cache(token_ids, cache, 0)
        index = ops.min(lengths)
        if "until" in inputs:  # otherwise the loop would be compiled twice
            return {"token_ids": token_ids, "cache": cache, "index": index}
    if is_beam_search(model.sampler):
        token_ids = model.sampler(
            next=rows.keep_committed(next_logits),
            prompt=token_ids,
            cache=cache,
            index=index,
            mask=given,
            stop_token_ids=stop_token_ids,
            model=model,
        )
        index = ops.full_like(index, S)
    else:
        until = ops.convert_to_tensor(inputs.get("until", S), "int32")
        token_ids, cache, index = sample(
            model, rows, next_logits, (token_ids, cache, index), until
        )
    ends = rows.ends(token_ids, index)
    known = ops.maximum(lengths, ops.minimum(ends, index))[:, None]
    positions = ops.arange(S, dtype="int32")[None, :]
    outputs = {
        "token_ids": token_ids,
        "padding_mask": positions < known,
        "ended": ends <= index,
    }
    if "until" in inputs:
        outputs.update(cache=cache, index=index)
    return outputs


def next_logits_of(model, inputs, lengths):
    """Return the function that gives samplers the next logits."""
    mask = mask_of(model, inputs, lengths)

    def next_logits(prompt, cache, index):
        previous = ops.slice(prompt, [0, index - 1], [prompt.shape[0], 1])
        hidden, cache = model.backbone.call_with_cache(
            previous, cache, index - 1
        )
        logits = model.backbone.token_embedding(hidden, reverse=True)
        logits = mask(logits[:, 0], prompt, index)
        return logits, hidden[:, 0], cache

    return next_logits


def mask_of(model, inputs, lengths):
    """Return the function that masks ids that cannot come next."""
    tokenizer = getattr(model.preprocessor, "tokenizer", None)
    if tokenizer is None:
        may_end = inputs.get("may_end", ops.ones_like(lengths))
        return without_special(ops.cast(may_end, "bool"))
    layout = tokenizer.layout
    none = ops.zeros((lengths.shape[0], 1), dtype="int32")
    return PromptMask(
        layout,
        inputs.get("window_start", lengths),
        inputs.get("next_low", none),
        inputs.get("next_high", none + layout.num_codes),
        inputs.get("next_others", none[:, :, None][:, :, :0]),
        inputs.get("may_end"),
        inputs.get("bounds"),
    )


def sample(model, rows, next_logits, state, until):
    """Sample ids until a position, or until all rows have ended.

    Args:
        model: A `DecoderCausalLM`.
        rows: `Rows`.
        next_logits: A function of `(token_ids, cache, index)`.
        state: The token ids, the cache and the index of the next position.
        until: A scalar tensor.

    Returns:
        The new state.
    """
    sampler = model.sampler

    def unfinished(token_ids, cache, index):
        ended = rows.ends(token_ids, index) <= index
        return (index < until) & ~ops.all(ended)

    def add_ids(token_ids, cache, index):
        logits, _, cache = next_logits(token_ids, cache, index)
        ids = sampler.get_next_token(sampler.compute_probabilities(logits))
        committed, known = rows.committed(token_ids, index)
        ids = ops.where(committed, known, ops.cast(ids, token_ids.dtype))
        token_ids = ops.slice_update(token_ids, [0, index], ids[:, None])
        return token_ids, cache, index + 1

    return sampler.run_loop(unfinished, add_ids, model=model, loop_vars=state)


class Rows:
    """Know the committed ids of a batch: prompts, and pads after an end.

    Args:
        given: A bool tensor of shape `(B, S)`: where prompts are.
        stop_token_ids: A tuple of ids that end a row, or `None`.
        num_ids: int. Ids lie in `[0, num_ids)`.
    """

    def __init__(self, given, stop_token_ids, num_ids):
        self.given = given
        self.is_stop = None
        if stop_token_ids is not None:
            self.is_stop = np.isin(np.arange(num_ids), stop_token_ids)

    def _given(self, token_ids):
        # A sampler that keeps several beams of a prompt repeats its rows.
        beams = token_ids.shape[0] // self.given.shape[0]
        return (
            ops.repeat(self.given, beams, axis=0) if beams > 1 else self.given
        )

    def ends(self, token_ids, index):
        """Find where rows end: after their first new stop id, or at S.

        Args:
            token_ids: An int tensor of shape `(B, S)`.
            index: A scalar tensor: only ids before this position count.

        Returns:
            An int tensor of shape `(B,)`.
        """
        rows, S = token_ids.shape
        if self.is_stop is None:
            return ops.full((rows,), S, dtype="int32")
        positions = ops.arange(S, dtype="int32")[None, :]
        stops = ops.take(ops.convert_to_tensor(self.is_stop), token_ids)
        stops = stops & ~self._given(token_ids) & (positions < index)
        first = ops.cast(ops.argmax(ops.cast(stops, "int32"), axis=-1), "int32")
        return ops.where(ops.any(stops, axis=-1), first + 1, S)

    def committed(self, token_ids, index):
        """Return which rows have a committed id at `index`, and the ids."""
        given = self._given(token_ids)[:, index]
        ended = self.ends(token_ids, index) <= index
        ids = ops.where(given, token_ids[:, index], PAD_ID)
        return given | ended, ids

    def keep_committed(self, next_logits):
        """Give committed ids probability 1, so that beams keep their scores."""

        def logits_of(token_ids, cache, index):
            logits, hidden, cache = next_logits(token_ids, cache, index)
            committed, ids = self.committed(token_ids, index)
            columns = ops.arange(logits.shape[-1], dtype="int32")[None, :]
            committed_logits = ops.where(
                columns == ids[:, None], 0.0, FORBIDDEN
            )
            logits = ops.where(committed[:, None], committed_logits, logits)
            return logits, hidden, cache

        return logits_of


def without_special(may_end):
    """Mask special ids, for models without a tokenizer.

    Args:
        may_end: A bool tensor of shape `(B,)`: whether the end id may come.
    """

    def mask(logits, token_ids, index):
        beams = logits.shape[0] // may_end.shape[0]
        end = ops.repeat(may_end, beams, axis=0)[:, None]
        ids = ops.arange(logits.shape[-1], dtype="int32")[None, :]
        allowed = (ids >= NUM_SPECIAL) | (end & (ids == END_ID))
        return ops.where(allowed, ops.cast(logits, "float32"), FORBIDDEN)

    return mask


def is_beam_search(sampler):
    """Return whether a sampler keeps several texts until the end."""
    return type(sampler).__call__ is keras_hub.samplers.BeamSampler.__call__


def to_sampler(sampler, num_ids):
    """Return the sampler that `compile` was given, or raise a ValueError.

    Args:
        sampler: A name, a `keras_hub.samplers.Sampler` or its configuration.
        num_ids: int. Ids lie in `[0, num_ids)`.

    Raises:
        ValueError: If the sampler is unknown or would give wrong results.
    """
    samplers = keras_hub.samplers
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise ValueError(
            f"`sampler` must be one of {list(SAMPLERS)}, or a "
            f"`keras_hub.samplers.Sampler`. Received: sampler={sampler!r}"
        )
    received, sampler = sampler, samplers.get(sampler)
    base, cls = samplers.Sampler, type(sampler)
    if not isinstance(sampler, base) or not (
        is_beam_search(sampler)
        or (
            cls.__call__ is base.__call__
            and cls.get_next_token is not base.get_next_token
        )
    ):
        raise ValueError(
            "`sampler` must choose one id after the other, as greedy, top_k, "
            "top_p and random do, or be beam search. Received: sampler="
            f"{cls.__name__ if isinstance(sampler, base) else received!r}. A "
            "sampler of your own derives from `keras_hub.samplers.Sampler` "
            "and overrides `get_next_token`, not `__call__`."
        )
    if getattr(sampler, "return_all_beams", False):
        raise ValueError(
            "`generate` returns the best beam only. Received: "
            "return_all_beams=True. Leave it out."
        )
    temperature = sampler.temperature
    if not 0 < temperature < float("inf"):
        raise ValueError(
            "A sampler's `temperature` must be positive and finite. Received: "
            f"temperature={temperature}. To take the likeliest id always, "
            'pass "greedy".'
        )
    for cls, name in (
        (samplers.TopKSampler, "k"),
        (samplers.TopPSampler, "k"),
        (samplers.BeamSampler, "num_beams"),
    ):
        if isinstance(sampler, cls) and getattr(sampler, name) is not None:
            # It may be at most the number of ids.
            as_integer(name, getattr(sampler, name), 1, num_ids)
    return sampler
