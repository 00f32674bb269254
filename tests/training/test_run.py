"""A run continues only if the right settings stay the same."""

import json
import shutil

import h5py
import keras
import numpy as np
import pytest

from keras_nc.data import write_shards
from keras_nc.metrics import BitsPerByte
from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.models import ByteCausalLMPreprocessor
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.training import get_optimizer
from keras_nc.training import resumable_fit

SETTINGS = dict(
    sequence_length=8,
    batch_size=4,
    steps=4,
    steps_per_epoch=2,
    tensorboard=False,
    progress=False,
)
TEXT = [b"A run goes on, or says why it does not. " * 8]


def shards_of(text, folder, tokenizer=None):
    tokenizer = tokenizer or ByteTokenizer()
    return write_shards(text, tokenizer, folder, progress=False)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(TEXT, tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """Shards of empty documents only."""
    return shards_of([b""] * 40, tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def other_text(tmp_path_factory):
    """The same number of tokens of another text."""
    text = [TEXT[0].swapcase()]
    return shards_of(text, tmp_path_factory.mktemp("other"))


def make_model(
    rank=None,
    frozen=False,
    quantized=False,
    optimizer=("adamw", 0.01),
    ema=False,
    compile_with=None,
    **kwargs,
):
    keras.utils.set_random_seed(1)
    model = ByteCausalLM(
        ByteBackbone(
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=16,
            **kwargs,
        ),
        ByteCausalLMPreprocessor(sequence_length=8),
    )
    if rank:
        model.backbone.enable_lora(rank)
    if quantized:
        model.quantize("int8")
    if frozen:
        model.backbone.token_embedding.trainable = False
    optimizer = get_optimizer(*optimizer)
    optimizer.use_ema = ema
    model.compile(optimizer, **(compile_with or {}))
    return model


def losses(history):
    return [[row["loss"], row["bits_per_byte"]] for row in history]


def begun(folder, into):
    """Copy a run, and forget its second half."""
    shutil.copytree(folder / "checkpoint", into / "checkpoint")
    path = into / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    state.update(step=2, kept=[2], history=state["history"][:1])
    path.write_text(json.dumps(state))
    return into


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    """A run of four steps: folder, model, history."""
    folder = tmp_path_factory.mktemp("finished")
    model = make_model()
    history = resumable_fit(model, shards, folder, held_out=shards, **SETTINGS)
    return folder, model, history


def values(model):
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


@pytest.mark.parametrize(
    "kind",
    [
        dict(rank=2, dtype="bfloat16"),
        dict(rank=2, quantized=True),
        dict(frozen=True, ema=True),
    ],
    ids=str,
)
def test_special_models_go_on_as_if_never_interrupted(shards, tmp_path, kind):
    model = make_model(**kind)
    history = resumable_fit(model, shards, tmp_path / "whole", **SETTINGS)
    folder = begun(tmp_path / "whole", tmp_path / "part")
    resumed = make_model(**kind)
    got = resumable_fit(resumed, shards, folder, **SETTINGS)
    np.testing.assert_allclose(losses(got), losses(history), atol=1e-5)
    # A complete run is loaded, with the same weights.
    loaded = make_model(**kind)
    resumable_fit(loaded, shards, tmp_path / "whole", **SETTINGS)
    for other in (resumed, loaded):
        for ours, theirs in zip(values(other), values(model), strict=True):
            np.testing.assert_allclose(
                ours.astype("float32"), theirs.astype("float32"), atol=1e-5
            )
    if "rank" in kind:
        factors = [w for w in resumed.weights if w.name == "lora_kernel_b"]
        assert len(factors) == 2
        for factor in factors:
            assert np.abs(keras.ops.convert_to_numpy(factor)).max() > 0


REFUSED = [
    (dict(rank=2), "weights.*lora_kernel_a.*trained.*there it is None"),
    (dict(frozen=True), "frozen'; there it is '.*trained"),
    (dict(quantized=True), r"weights\[.*kernel_scale"),
    (dict(optimizer=("adamw", 0.02)), "optimizer"),
    (dict(optimizer=("adafactor", 0.01)), "optimizer"),
    (dict(ema=True), r"optimizer.*use_ema"),
    (dict(dtype="mixed_bfloat16"), "dtype"),
    (dict(compile_with=dict(z_loss=0.1)), "loss="),
    (
        dict(
            compile_with=dict(
                weighted_metrics=[BitsPerByte(bytes_per_token=2.0)]
            )
        ),
        "bits_per_byte",
    ),
]


@pytest.mark.parametrize(("change", "match"), REFUSED, ids=str)
def test_other_models_are_refused(finished, shards, change, match):
    folder, _, _ = finished
    with pytest.raises(ValueError, match=match) as caught:
        resumable_fit(make_model(**change), shards, folder, **SETTINGS)
    assert "holds another run" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "change",
    [
        dict(sequence_length=4),
        dict(batch_size=2),
        dict(steps=8),
        dict(steps_per_epoch=1),
        dict(seed=1),
    ],
    ids=str,
)
def test_other_settings_are_refused(finished, shards, change):
    folder, model, _ = finished
    with pytest.raises(ValueError, match="holds another run"):
        resumable_fit(model, shards, folder, **{**SETTINGS, **change})


def test_other_text_is_refused(finished, shards, other_text):
    folder, model, _ = finished
    assert other_text.num_tokens == shards.num_tokens
    with pytest.raises(ValueError, match=r"another run.*tokens="):
        resumable_fit(model, other_text, folder, **SETTINGS)
    with pytest.raises(ValueError, match=r"another run.*held_out="):
        resumable_fit(model, shards, folder, held_out=other_text, **SETTINGS)


def test_a_thawed_run_is_refused(shards, tmp_path):
    resumable_fit(make_model(frozen=True), shards, tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match=r"trained'; there it is '.*frozen"):
        resumable_fit(make_model(), shards, tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        dict(gradient_checkpointing=True),
        dict(compile_with=dict(logits_bytes=1, sampler="top_k")),
    ],
    ids=str,
)
def test_what_costs_may_change(finished, shards, tmp_path, change):
    folder, _, history = finished
    model = make_model(**change)
    got = resumable_fit(
        model,
        shards,
        begun(folder, tmp_path),
        keep=1,
        on_collapse="ignore",
        max_restarts=9,
        peak_flops=1e9,
        label="Another",
        **SETTINGS,
    )
    np.testing.assert_allclose(losses(got), losses(history), atol=1e-5)


def test_held_out_text_may_be_left_out_and_come_back(
    finished, shards, other_text, tmp_path
):
    folder, _, _ = finished
    begun(folder, tmp_path)
    got = resumable_fit(make_model(), shards, tmp_path, **SETTINGS)
    assert "held_out_bits_per_byte" not in got[-1]
    with pytest.raises(ValueError, match="held_out="):
        resumable_fit(
            make_model(), shards, tmp_path, held_out=other_text, **SETTINGS
        )
    resumable_fit(make_model(), shards, tmp_path, held_out=shards, **SETTINGS)


def test_runs_that_began_before_all_was_described_go_on(
    finished, shards, tmp_path
):
    folder, _, history = finished
    begun(folder, tmp_path)
    path = tmp_path / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    for key in ("tokens", "held_out", "weights", "loss", "bits_per_byte"):
        del state["run"][key]
    # Classes move to other files.
    state["run"]["model"]["dtype"]["module"] = "keras_nc.elsewhere"
    path.write_text(json.dumps(state))
    got = resumable_fit(make_model(), shards, tmp_path, **SETTINGS)
    np.testing.assert_allclose(losses(got), losses(history), atol=1e-5)
    # From then on it is described.
    with pytest.raises(ValueError, match="frozen"):
        resumable_fit(make_model(frozen=True), shards, tmp_path, **SETTINGS)


def test_lora_needs_its_factors_in_the_file(shards, tmp_path):
    resumable_fit(make_model(rank=2), shards, tmp_path, keep=1, **SETTINGS)
    (path,) = (tmp_path / "checkpoint").glob("*.h5")
    with h5py.File(path, "a") as file:
        del file["adapted"]
    with pytest.raises(ValueError, match="must hold its factors"):
        resumable_fit(make_model(rank=2), shards, tmp_path, **SETTINGS)


def test_numpy_numbers_are_settings(finished, shards, tmp_path):
    folder, _, history = finished
    settings = {
        key: np.int64(value) if type(value) is int else value
        for key, value in SETTINGS.items()
    }
    optimizer = ("adamw", np.float32(0.01))
    model = make_model(optimizer=optimizer)
    model.optimizer.learning_rate = 0.01
    got = resumable_fit(
        model,
        shards,
        begun(folder, tmp_path),
        seed=np.uint8(0),
        keep=np.int32(2),
        max_restarts=np.int16(3),
        peak_flops=np.float32(1e9),
        **settings,
    )
    np.testing.assert_allclose(losses(got), losses(history), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (dict(steps=0), "`steps` must be positive"),
        (dict(steps=4.0), "`steps` must be an integer"),
        (dict(batch_size=0), "`batch_size`"),
        (dict(sequence_length="8"), "`sequence_length`"),
        (dict(seed=-1), "`seed`"),
        (dict(max_restarts=-1), "`max_restarts`"),
        (dict(steps_per_epoch=3), "multiple of `steps_per_epoch`"),
    ],
)
def test_odd_numbers_are_refused(finished, shards, tmp_path, change, match):
    _, model, _ = finished
    with pytest.raises((TypeError, ValueError), match=match):
        resumable_fit(model, shards, tmp_path, **{**SETTINGS, **change})
    assert not list(tmp_path.iterdir())


def test_nothing_to_score_is_refused(finished, shards, empty, tmp_path):
    _, model, _ = finished
    for parts in ((empty, None), (empty, empty), (shards, empty)):
        with pytest.raises(ValueError, match="at least one byte of text"):
            resumable_fit(
                model, parts[0], tmp_path, held_out=parts[1], **SETTINGS
            )
    assert not list(tmp_path.iterdir())


def test_ids_of_another_tokenizer_are_refused(
    finished, shards, codebooks, tmp_path
):
    _, model, _ = finished
    windows = shards_of(
        TEXT, tmp_path / "windows", EqualInfoTokenizer(codebooks[12])
    )
    folder = tmp_path / "run"
    for parts in ((windows, None), (shards, windows)):
        with pytest.raises(ValueError, match="the tokenizer that made them"):
            resumable_fit(
                model, parts[0], folder, held_out=parts[1], **SETTINGS
            )
    assert not folder.exists()


def test_a_model_without_the_metric_is_refused(shards, tmp_path):
    for compile_with in (
        dict(weighted_metrics=[]),
        dict(weighted_metrics=["accuracy"]),
    ):
        model = make_model(compile_with=compile_with)
        with pytest.raises(ValueError, match="the metric `BitsPerByte`"):
            resumable_fit(model, shards, tmp_path, **SETTINGS)
    assert not list(tmp_path.iterdir())
