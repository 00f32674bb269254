"""The preprocessor that M1 and M2 share."""

import keras
import keras_hub
import numpy as np

from keras_nc.tokenizers.text import to_documents


class DecoderCausalLMPreprocessor(keras_hub.models.CausalLMPreprocessor):
    """Text to packed ids for training, and prompts for exact generation.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`.
        sequence_length: int. Tokens per example, the start id included.
        add_start_token: bool. Whether examples begin with the start id.
        add_end_token: bool. Whether examples end with the end id.
        **kwargs: See `keras_hub.models.CausalLMPreprocessor`.

    Call arguments:
        x: Text; see `keras_nc.tokenizers.SchemeTokenizer`.

    Returns:
        `(x, y, sample_weight)`: `x` a dict of `"token_ids"` and
        `"padding_mask"`, `y` the ids that come next, all `(B,
        sequence_length)`. Longer texts are cut; to train on all of a corpus,
        write token shards (`keras_nc.data`).
    """

    def __init__(
        self,
        tokenizer,
        sequence_length=512,
        add_start_token=True,
        add_end_token=True,
        **kwargs,
    ):
        super().__init__(
            tokenizer, sequence_length, add_start_token, add_end_token, **kwargs
        )

    def generate_preprocess(self, x, sequence_length=None):
        """Cut prompts into what no continuation can change and a remainder.

        Args:
            x: One prompt or several, `str` or `bytes`.
            sequence_length: int. Room for prompt and continuation in tokens,
                the start id included; the preprocessor's own if `None`.

        Returns:
            A dict of NumPy arrays: `"token_ids"` and `"padding_mask"`, int32
            and bool `(B, sequence_length)`, and `"code_low"`, `"code_high"`,
            int32 `(B,)`: the codes that may come next, as in `WindowMask`.

        Raises:
            ValueError: If a prompt does not fit.
        """
        length = sequence_length or self.sequence_length
        documents, _ = to_documents(x)
        prompts = [self.tokenizer.split_prompt(text) for text in documents]
        per_window = self.tokenizer.layout.tokens_per_window
        token_ids = np.zeros((len(prompts), length), dtype="int32")
        padding_mask = np.zeros((len(prompts), length), dtype="bool")
        token_ids[:, 0] = self.tokenizer.start_token_id
        for i, prompt in enumerate(prompts):
            # The remainder needs a window of its own to be continued.
            needed = 1 + len(prompt.ids) + per_window * bool(prompt.remainder)
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
        return {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            "code_low": np.array([p.low for p in prompts], dtype="int32"),
            "code_high": np.array([p.high for p in prompts], dtype="int32"),
        }

    def generate_postprocess(self, x):
        """Bytes of generated ids.

        A window that `max_length` cut short is dropped: its bits stand for no
        bytes yet.

        Args:
            x: A dict of `"token_ids"` and `"padding_mask"`, `(B, T)`.

        Returns:
            A list of bytes.
        """
        token_ids = keras.ops.convert_to_numpy(x["token_ids"])
        padding_mask = keras.ops.convert_to_numpy(x["padding_mask"])
        per_window = self.tokenizer.layout.tokens_per_window
        texts = []
        for row, mask in zip(token_ids, padding_mask, strict=True):
            ids = row[mask.astype(bool)]
            ids = ids[~np.isin(ids, self.tokenizer.special_token_ids)]
            whole = len(ids) - len(ids) % per_window
            texts.append(self.tokenizer.detokenize(ids[:whole]))
        return texts
