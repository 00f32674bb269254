"""M2 over live windows: prompts whose next codes have bounds."""

import keras_hub
import pytest

from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.tokenizers import LiveWindowTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

PROMPTS = [b"", b"a", b"the quick brown f", b"\x00\xff\x00\xff", b"state " * 3]


@pytest.fixture(scope="module")
def models(text, make_m1, make_m2):
    """M2 over windows that tokens cross, and over windows of an M1."""
    counts = NGramModel.from_text(text[:50000], order=3)
    m1 = make_m1(num_layers=1, hidden_dim=16, intermediate_dim=16)
    tokenizers = {
        "crossing": LiveWindowTokenizer(counts, 24, 16, batch_size=8),
        "m1": LiveWindowTokenizer(
            ByteLMModel(m1.backbone),
            32,
            8,
            checksum=False,
            batch_size=8,
            max_window_bytes=32,
        ),
    }
    return {
        name: make_m2(tokenizer, 40, num_layers=1, hidden_dim=16)
        for name, tokenizer in tokenizers.items()
    }


@pytest.mark.parametrize("name", ["crossing", "m1"])
def test_live_windows_continue_prompts(models, name):
    causal_lm = models[name]
    causal_lm.compile(sampler=keras_hub.samplers.TopKSampler(k=5, seed=1))
    texts = causal_lm.generate(PROMPTS, stop_token_ids=None)
    for prompt, text in zip(PROMPTS, texts, strict=True):
        assert text.startswith(prompt)
    assert sum(map(len, texts)) > sum(map(len, PROMPTS))
    split = causal_lm.preprocessor.tokenizer.split_prompt
    assert any(split(prompt).remainder for prompt in PROMPTS)
    with pytest.raises(ValueError, match="prompt 0 of 500 bytes"):
        causal_lm.generate([b"\xff\x00" * 250])


def test_streams_of_live_windows_are_what_generate_gives(models):
    causal_lm = models["crossing"]
    causal_lm.compile(sampler="greedy")
    texts = causal_lm.generate(PROMPTS, strip_prompt=True)
    parts = list(causal_lm.generate_stream(PROMPTS, piece_length=5))
    assert len(parts) > 1
    assert [b"".join(row) for row in zip(*parts, strict=True)] == texts
