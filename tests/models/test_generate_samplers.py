import keras_hub
import numpy as np
import pytest
from keras import ops

from tests.models.conftest import PROMPTS
from tests.models.conftest import TINY

pytestmark = pytest.mark.usefixtures("seeded")


def beam_search(causal_lm, prompt, length, num_beams):
    """Return ids of the best beam, by full passes over all continuations."""
    beams = [(0.0, [1, *(byte + 3 for byte in prompt)])]
    while len(beams[0][1]) < length:
        candidates = []
        for score, ids in beams:
            if 2 in ids:
                candidates.append((score, [*ids, 0]))
                continue
            token_ids = np.array([ids + [0] * (length - len(ids))], "int32")
            x = {"token_ids": token_ids, "padding_mask": token_ids > 0}
            logits = ops.convert_to_numpy(causal_lm(x))[0, len(ids) - 1, :259]
            logits = logits.astype("float64")
            logits[:2] = -np.inf  # neither pads nor starts
            logits -= np.log(np.exp(logits).sum())
            candidates += [(score + logits[i], [*ids, i]) for i in range(259)]
        beams = sorted(candidates, key=lambda beam: -beam[0])[:num_beams]
    return beams[0][1]


def test_beam_search_is_right_in_batches_and_after_ends(make_m1):
    causal_lm = make_m1(8, **TINY)
    # The end is likely after "e".
    ids = np.array([[1, 3 + ord("e")]], dtype="int32")
    hidden = causal_lm.backbone({"token_ids": ids, "padding_mask": ids > 0})
    embedding = causal_lm.backbone.token_embedding
    table = embedding.get_weights()[0] * 3
    table[2] = ops.convert_to_numpy(hidden)[0, -1]
    embedding.set_weights([table])
    causal_lm.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3))
    prompts = [b"e", b"abcd", b"", b"she"]
    expected = [beam_search(causal_lm, p, 8, 3) for p in prompts]
    assert any(2 in ids for ids in expected)
    assert not all(2 in ids for ids in expected)
    x = causal_lm.preprocessor.generate_preprocess(prompts)
    assert causal_lm.generate(x)["token_ids"].tolist() == expected


class Likeliest(keras_hub.samplers.Sampler):
    def get_next_token(self, probabilities):
        return ops.argmax(probabilities, axis=-1)


class Everything(Likeliest):
    def __call__(self, next, prompt, **kwargs):
        return prompt


class Nothing(keras_hub.samplers.Sampler):
    pass


def test_a_sampler_of_ones_own_is_used(models):
    causal_lm = models[16, 8]
    causal_lm.compile(sampler="greedy")
    expected = causal_lm.generate(PROMPTS, max_length=70)
    causal_lm.compile(sampler=Likeliest())
    assert causal_lm.generate(PROMPTS, max_length=70) == expected
    assert "".join(causal_lm.generate_stream("the ", max_length=20))


@pytest.mark.parametrize(
    "sampler, message",
    [
        ("contrastive", "'contrastive'"),
        ("speculative", "'speculative'"),
        ("gready", "'gready'"),
        (keras_hub.samplers.ContrastiveSampler(), "ContrastiveSampler"),
        (keras_hub.samplers.SpeculativeSampler(), "SpeculativeSampler"),
        (Everything(), "Everything"),
        (Nothing(), "Nothing"),
        (Likeliest, "Likeliest"),
        (None, "None"),
        (lambda **kwargs: kwargs["prompt"], "function"),
        (
            keras_hub.samplers.BeamSampler(return_all_beams=True),
            "return_all_beams",
        ),
        (keras_hub.samplers.BeamSampler(num_beams=0), "num_beams=0"),
        (keras_hub.samplers.TopKSampler(k=260), "from 1 to 259.*k=260"),
        (keras_hub.samplers.TopPSampler(k=-1), "k=-1"),
        (keras_hub.samplers.TopKSampler(temperature=0.0), "temperature=0.0"),
        (keras_hub.samplers.RandomSampler(temperature=-1), "temperature=-1"),
        (Likeliest(temperature=float("nan")), "temperature=nan"),
        (Likeliest(temperature=float("inf")), "temperature=inf"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_samplers_that_would_not_be_right_are_refused(models, sampler, message):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    with pytest.raises(ValueError, match=f"Received: .*{message}|{message}"):
        causal_lm.compile(sampler=sampler)
    assert isinstance(causal_lm.sampler, keras_hub.samplers.GreedySampler)
    if isinstance(sampler, (Everything, keras_hub.samplers.ContrastiveSampler)):
        causal_lm.sampler = sampler
        with pytest.raises(ValueError, match=message):
            causal_lm.generate("a")
