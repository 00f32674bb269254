"""Special tokens in the Keras layer: tf.data, presets, models, generation."""

import keras
import numpy as np
import pytest

from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.models import CompressedCausalLMPreprocessor
from keras_nc.tokenizers import EqualInfoTokenizer

ROLES = ["<|user|>", "<|assistant|>", "<|end|>"]
CHAT = "<|user|>What do they sell?<|assistant|>Sea shells.<|end|>"


@pytest.fixture(scope="module")
def tokenizer(codebooks):
    return EqualInfoTokenizer(
        codebooks[12], special_tokens=ROLES, parse_special=True
    )


def test_vocabulary(tokenizer):
    first = 2**12
    assert tokenizer.vocabulary_size() == first + 3
    assert len(tokenizer.get_vocabulary()) == first + 3
    for i, role in enumerate(ROLES, first):
        assert tokenizer.token_to_id(role) == i
        assert tokenizer.id_to_token(i) == role.encode()
    ids = tokenizer(CHAT)
    assert (ids >= first).sum() == 3
    assert tokenizer.token_lengths[ids].sum() == len(CHAT.encode())
    assert tokenizer.detokenize(ids, errors="strict") == CHAT
    plain = tokenizer.detokenize(ids, skip_special=True)
    assert plain == b"What do they sell?Sea shells."


def test_tf_data_gives_the_same_ids(tokenizer):
    tf = pytest.importorskip("tensorflow")
    texts = [CHAT, "", "<|end|>"]
    data = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(tokenizer)
    (rows,) = list(data)
    assert rows.to_list() == [row.tolist() for row in tokenizer(texts)]


def test_a_config_makes_an_equal_tokenizer(tokenizer, codebooks, tmp_path):
    config = tokenizer.get_config()
    assert config["scheme"]["special_tokens"] == ROLES
    again = EqualInfoTokenizer.from_config(config)
    assert again.vocabulary_size() == tokenizer.vocabulary_size()
    tokenizer.save_assets(tmp_path)
    again.load_assets(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert again(CHAT).tolist() == tokenizer(CHAT).tolist()
    other = EqualInfoTokenizer(codebooks[12], special_tokens=ROLES)
    assert other.fingerprint != tokenizer.fingerprint
    assert other(CHAT).max() < 2**12


def test_a_model_without_rows_for_them_is_refused(tokenizer):
    backbone = CompressedBackbone(
        2**12, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32
    )
    with pytest.raises(ValueError, match="vocabulary_size=4099"):
        CompressedCausalLM(
            backbone, CompressedCausalLMPreprocessor(tokenizer, 32)
        )


def test_a_model_learns_whose_turn_it_is(seeded, tokenizer, make_m2, tmp_path):
    m2 = make_m2(tokenizer, num_layers=1)
    m2.compile(keras.optimizers.Adam(0.02))
    m2.fit(np.array([CHAT.encode()] * 4, object), epochs=40, verbose=0)
    prompt = "<|user|>What do they sell?<|assistant|>"
    m2.save_to_preset(tmp_path)
    m2 = CompressedCausalLM.from_preset(str(tmp_path))
    m2.compile(sampler="greedy")
    answer = prompt + "Sea shells."
    prompts = [prompt, prompt + "S", prompt + "Sea she", answer]
    # No special token comes next inside a prompt's last word.
    for given, found in zip(
        prompts, m2.generate(prompts, max_length=32), strict=True
    ):
        assert found.startswith(given)
        if given == prompt:
            assert found == CHAT
    # A special token is text to those who wait for it.
    found = m2.generate(prompts, max_length=32, stop="<|end|>")
    assert found[0].removesuffix("<|end|>") == answer
