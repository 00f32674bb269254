"""The preprocessor that M1 and M2 share."""

import json
import os
import pathlib

import keras
import keras_hub
import numpy as np

from keras_nc.coding.inputs import as_batch
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_integer
from keras_nc.layers.byte_ngrams import to_vocabulary
from keras_nc.models.presets import CONFIG_FILE
from keras_nc.models.presets import PREPROCESSOR_FILES
from keras_nc.models.presets import config_without_backbone
from keras_nc.models.presets import damage_told
from keras_nc.models.presets import names_a_model
from keras_nc.models.presets import new_preset
from keras_nc.models.prompt_mask import pack_bounds
from keras_nc.models.prompt_mask import pack_next_codes


class DecoderCausalLMPreprocessor(keras_hub.models.CausalLMPreprocessor):
    """Turn text into packed ids for training, or prompts for exact generation.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`, with ragged output.
        sequence_length: int. Tokens per example, the start id included.
        add_start_token: bool. Whether examples begin with the start id.
        add_end_token: bool. Whether examples end with the end id.
        **kwargs: See `keras_hub.models.CausalLMPreprocessor`.

    Call arguments:
        x: Text; see `keras_nc.tokenizers.SchemeTokenizer`. For fine-tuning, a
            dict of `"prompts"` and `"responses"`, one text or several each. A
            prompt and its response are encoded as one text. Only the tokens of
            the response have weight 1, and those that it may change: the first
            of them may begin with the last bytes of the prompt.

    Returns:
        `(x, y, sample_weight)`: `x` is a dict of `"token_ids"` and
        `"padding_mask"`, and `y` holds the next ids, all
        `(B, sequence_length)`. Longer texts are cut, and then lack the end id.
        To train on a whole corpus, write token shards (`keras_nc.data`).
    """

    def __init__(
        self,
        tokenizer,
        sequence_length=512,
        add_start_token=True,
        add_end_token=True,
        **kwargs,
    ):
        sequence_length = as_integer("sequence_length", sequence_length)
        super().__init__(
            tokenizer,
            sequence_length,
            bool(add_start_token),
            bool(add_end_token),
            **kwargs,
        )
        if tokenizer.sequence_length is not None:
            raise ValueError(
                "The preprocessor packs, so its tokenizer must not: pass a "
                "tokenizer with `sequence_length=None`. Received: "
                f"tokenizer.sequence_length={tokenizer.sequence_length}"
            )

    def build(self, input_shape=None):
        """Build nothing: packing needs no layer."""
        self.built = True

    def call(self, x, y=None, sample_weight=None, sequence_length=None):
        """Tokenize and pack texts; see the class."""
        if y is not None or sample_weight is not None:
            raise ValueError(
                "Targets and weights of text come from the text. Received: "
                f"y={y}, sample_weight={sample_weight}. Leave them out, or "
                "pass token ids instead of text."
            )
        # One more id: inputs are all but the last, targets all but the first.
        length = 1 + (sequence_length or self.sequence_length)
        in_graph = self._use_tf_workflow()
        if isinstance(x, dict):
            pack = self._pack_pairs_in_graph if in_graph else self._pack_pairs
            token_ids, mask, weight = pack(*prompts_and_responses(x), length)
        else:
            pack = self._pack_in_graph if in_graph else self._pack
            token_ids, mask = pack(self.tokenizer(x), length)
            weight = mask
        return keras.utils.pack_x_y_sample_weight(
            {"token_ids": token_ids[..., :-1], "padding_mask": mask[..., :-1]},
            token_ids[..., 1:],
            weight[..., 1:],
        )

    def _pack_pairs(self, prompts, responses, length):
        """Return rows `[start, ids, end]`, masks of ids, and of responses."""
        prompts, batched = as_batch(prompts)
        responses, _ = as_batch(responses)
        if len(prompts) != len(responses):
            raise ValueError(
                "Each prompt needs one response. Received: "
                f"{len(prompts)} prompts, {len(responses)} responses"
            )
        texts = [a + b for a, b in zip(prompts, responses, strict=True)]
        rows = np.split(*self._ids_and_cuts(texts)) if texts else []
        token_ids, mask = self._pack(rows, length)
        weight = mask.copy()
        for row, prompt in zip(weight, prompts, strict=True):
            # No response can change these ids, so they belong to the prompt.
            committed = len(self.tokenizer.split_prompt(prompt).ids)
            row[: self.add_start_token + committed] = False
        packed = token_ids, mask, weight
        return packed if batched else tuple(part[0] for part in packed)

    def _ids_and_cuts(self, texts):
        """Return the ids of all texts, and where to cut them."""
        ids, offsets = self.tokenizer.encode_batch(texts)
        return ids.astype("int32"), offsets[1:-1]

    def _pack_pairs_in_graph(self, prompts, responses, length):
        import tensorflow as tf

        def pack(prompts, responses):
            return self._pack_pairs(prompts, responses, length)

        packed = tf.numpy_function(
            pack, [prompts, responses], [tf.int32, tf.bool, tf.bool]
        )
        for part in packed:
            part.set_shape([*tf.convert_to_tensor(prompts).shape, length])
        return packed

    def _around(self):
        """Return the special ids to put before and after every text."""
        start = [self.tokenizer.start_token_id] * self.add_start_token
        return start, [self.tokenizer.end_token_id] * self.add_end_token

    def _pack(self, ids, length):
        """Return padded rows `[start, ids, end]` and a mask of their ids."""
        batched = isinstance(ids, list)
        rows = ids if batched else [ids]
        token_ids = np.zeros((len(rows), length), dtype="int32")
        mask = np.zeros((len(rows), length), dtype="bool")
        start, end = self._around()
        for i, row in enumerate(rows):
            row = np.concatenate([start, row, end])[:length]
            token_ids[i, : len(row)] = row
            mask[i, : len(row)] = True
        return (token_ids, mask) if batched else (token_ids[0], mask[0])

    def _pack_in_graph(self, ids, length):
        import tensorflow as tf

        batched = isinstance(ids, tf.RaggedTensor)
        rows = ids if batched else tf.RaggedTensor.from_tensor(ids[None])
        around = [
            tf.repeat(tf.constant([part], tf.int32), rows.nrows(), axis=0)
            for part in self._around()
        ]
        rows = tf.concat([around[0], rows, around[1]], axis=1)[:, :length]
        mask = tf.ones_like(rows, dtype=tf.bool)
        shape = [None, length]
        packed = rows.to_tensor(shape=shape), mask.to_tensor(shape=shape)
        return packed if batched else tuple(part[0] for part in packed)

    def generate_preprocess(self, x, sequence_length=None):
        """Cut prompts into ids that no continuation can change and a remainder.

        Args:
            x: One prompt or several, `str` or `bytes`.
            sequence_length: int. Tokens of prompt and continuation together,
                the start id included. If `None`, the preprocessor's own.

        Returns:
            A dict of NumPy arrays: `"token_ids"` and `"padding_mask"`, int32
            and bool `(B, sequence_length)`; `"next_low"`, `"next_high"` and
            `"next_others"`, the codes that may come next (see `PromptMask`);
            and `"bounds"` if prompts have bounds.

        Raises:
            ValueError: If a prompt does not fit.
        """
        length = self.sequence_length
        if sequence_length is not None:
            length = as_integer("max_length", sequence_length)
        documents = as_documents(x)
        prompts = [self.tokenizer.split_prompt(text) for text in documents]
        per_window = self.tokenizer.layout.tokens_per_window
        token_ids = np.zeros((len(prompts), length), dtype="int32")
        padding_mask = np.zeros((len(prompts), length), dtype="bool")
        token_ids[:, 0] = self.tokenizer.start_token_id
        for i, prompt in enumerate(prompts):
            # Leave space for the windows of the remainder.
            needed = 1 + len(prompt.ids)
            needed += per_window * self._most_windows(prompt)
            if prompt.bounds is not None:
                needed += prompt.bounds.shape[1]
            if needed > length:
                raise ValueError(
                    "A prompt must fit into `max_length` (by default the "
                    f"preprocessor's `sequence_length`) of {length} tokens. "
                    f"Received: prompt {i} of {len(documents[i])} bytes, which "
                    f"needs {needed} tokens. Shorten it, or raise "
                    "`max_length` to what the model was trained for."
                )
            used = 1 + len(prompt.ids)
            token_ids[i, 1:used] = prompt.ids
            padding_mask[i, :used] = True
        packed = {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            **pack_next_codes(prompts, self.tokenizer.layout.num_codes),
        }
        bounds = pack_bounds(prompts)
        return packed if bounds is None else {**packed, "bounds": bounds}

    def _most_windows(self, prompt):
        """Return the largest number of windows that a remainder may need."""
        most = [0] * (len(prompt.next_codes) + 1)
        for at in range(len(prompt.next_codes) - 1, -1, -1):
            low, high, codes = prompt.next_codes[at]
            ends = [at + self.tokenizer.layout.code_lengths[c] for c in codes]
            last = [len(prompt.next_codes)] if low < high else []
            most[at] = 1 + max((most[end] for end in ends + last), default=0)
        return most[0]

    def generate_postprocess(self, x):
        """Return the bytes of generated ids.

        A window that `max_length` cuts short is dropped, because its bits stand
        for no bytes yet. See `Scheme.decode_generated`.

        Args:
            x: A dict of `"token_ids"` and `"padding_mask"`, `(B, T)`.

        Returns:
            A list of bytes.
        """
        token_ids = keras.ops.convert_to_numpy(x["token_ids"])
        padding_mask = keras.ops.convert_to_numpy(x["padding_mask"])
        rows = [
            row[mask.astype(bool)]
            for row, mask in zip(token_ids, padding_mask, strict=True)
        ]
        special = self.tokenizer.special_token_ids
        return self.tokenizer.decode_generated(
            [row[~np.isin(row, special)] for row in rows]
        )

    @classmethod
    def from_preset(cls, preset, config_file="preprocessor.json", **kwargs):
        """Load the preprocessor of a preset, and its tokenizer.

        Args:
            preset: str. A directory, a handle or a built-in name.
            config_file: str. The file that describes the preprocessor.
            **kwargs: Constructor arguments to override, such as
                `sequence_length`.

        Returns:
            An instance of this class.

        Raises:
            ValueError: If the preset has no preprocessor of this class.
        """
        preset = os.fspath(preset)
        with damage_told(preset):
            return super().from_preset(preset, config_file, **kwargs)

    def save_to_preset(self, preset_dir):
        """Save the preprocessor and its tokenizer as a preset, or into one.

        Args:
            preset_dir: str. The directory.
        """
        with new_preset(preset_dir, PREPROCESSOR_FILES) as new:
            path = pathlib.Path(new, CONFIG_FILE)
            beside_a_model = path.exists()
            super().save_to_preset(new)
            if beside_a_model:
                return
            # If the tokenizer names no model, keras-hub does not find the
            # preprocessor.
            path.unlink(missing_ok=True)
            older = pathlib.Path(preset_dir, CONFIG_FILE)
            if not older.exists() or not names_a_model(older):
                config = config_without_backbone(self.backbone_cls)
                path.write_text(json.dumps(config, indent=4))


def check_vocabulary(backbone, preprocessor):
    """Raise a ValueError unless the ids of tokenizer and backbone agree."""
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if tokenizer is None:
        return
    size = tokenizer.vocabulary_size()
    if size is not None and size > backbone.vocabulary_size:
        raise ValueError(
            "The backbone's vocabulary must hold every id of the tokenizer. "
            f"Received: backbone.vocabulary_size={backbone.vocabulary_size}, "
            f"tokenizer.vocabulary_size()={size}. Create the backbone with "
            f"vocabulary_size={size}."
        )
    # While a preset is loaded, its tokenizer has no assets yet.
    if backbone.embedding == "bytes" and tokenizer.token_lengths is not None:
        packed = backbone.token_embedding.packed_vocabulary
        if to_vocabulary(tokenizer) != to_vocabulary(packed):
            raise ValueError(
                "Embeddings made from bytes need the bytes of the model's own "
                "tokenizer. Received: a backbone with the vocabulary of "
                f"another tokenizer than this {tokenizer.scheme_name!r}. "
                "Create the backbone with `vocabulary=tokenizer`."
            )


def prompts_and_responses(x):
    """Return the two parts of data for fine-tuning, or raise a ValueError."""
    if set(x) != {"prompts", "responses"}:
        raise ValueError(
            "Text in a dict must have the keys 'prompts' and 'responses'. "
            f"Received: {sorted(map(str, x))}"
        )
    return x["prompts"], x["responses"]
