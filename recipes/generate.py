"""Continue held-out texts with the trained models, and time it.

    python -m recipes.generate --config tiny --workdir runs/tiny

Models that were not trained are left out.
"""

import time

import keras_hub

from keras_nc.data import cut_position
from keras_nc.models import CompressedCausalLM
from keras_nc.tokenizers import EqualInfoTokenizer
from recipes import launch
from recipes import tokenize_corpus
from recipes import workdir
from recipes.flags import say

TOP_P = 0.9
TEMPERATURE = 0.7
#: The built-in M2.
PRESET = "compressed_lm_3m_en"
#: What the built-in M2 continues, besides the held-out texts.
ENGLISH = (
    b"To install the package, ",
    b"The program reads a file and ",
    b"In the beginning ",
)


def run(setting, presets=()):
    """Generate, unless it is done; return the stage's figures.

    Args:
        setting: A `Setting`.
        presets: Names of built-in models that continue the prompts, too.
    """
    path = setting.workdir / "generations.json"
    result = workdir.read_json(path)
    if result is not None:
        return result
    setting.need_one_process("generating")
    prompts = choose_prompts(setting)
    models = {}
    for tokens in tokenize_corpus.TOKENS:
        folder = setting.workdir / "models" / tokens
        trained = workdir.read_json(folder / "result.json")
        if trained is not None:
            say(f"Generating with the model over {tokens}")
            ratio = tokenize_corpus.run(setting, tokens)["bytes_per_token"]
            models[tokens] = continue_texts(
                setting, folder / "preset", ratio, prompts
            )
    if not models:
        workdir.need(folder / "result.json", "train_m2")
    english = {}
    for name in presets:
        say(f"Generating with {name}")
        ratio = ratio_of(name, setting.documents("held_out"))
        models[name] = continue_texts(setting, name, ratio, prompts)
        english[name] = continue_texts(setting, name, ratio, list(ENGLISH))
    return workdir.write_json(
        path,
        {
            "prompts": [text.decode(errors="replace") for text in prompts],
            "sampling": f"top-p {TOP_P}, temperature {TEMPERATURE}",
            "models": models,
            "english": {
                "prompts": [text.decode() for text in ENGLISH],
                "models": english,
            },
        },
    )


def ratio_of(preset, documents):
    """Return the bytes per token of a preset's tokenizer."""
    tokenizer = EqualInfoTokenizer.from_preset(preset)
    documents = list(documents)
    ids, _ = tokenizer.encode_batch(documents)
    return sum(map(len, documents)) / len(ids)


def choose_prompts(setting):
    """Return the beginnings of held-out texts that are long enough.

    If all texts are short, return the beginning of the longest one.
    """
    config = setting.config
    prompts, longest = [], b""
    for document in setting.documents("held_out"):
        if len(document) >= 2 * config.prompt_bytes:
            prompts.append(document[: config.prompt_bytes])
        if len(prompts) == config.prompts:
            break
        longest = max(longest, document, key=len)
    half = cut_position(longest, len(longest) // 2)
    return prompts or [longest[:half]]


def continue_texts(setting, preset, ratio, prompts):
    """Continue all prompts in one batch, twice: to compile, and to time.

    Args:
        setting: A `Setting`.
        preset: The model's folder, or its built-in name.
        ratio: float. Bytes per token.
        prompts: list of bytes.
    """
    config = setting.config
    model = CompressedCausalLM.from_preset(str(preset))
    encoded = model.preprocessor.tokenizer.encode_batch(prompts)[1]
    longest = int((encoded[1:] - encoded[:-1]).max())
    length = longest + 2 + int(config.continuation_bytes / ratio)
    model.compile(
        sampler=keras_hub.samplers.TopPSampler(
            p=TOP_P, temperature=TEMPERATURE, seed=0
        )
    )
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        texts = model.generate(prompts, max_length=length, strip_prompt=True)
        seconds.append(time.perf_counter() - start)
    return {
        "continuations": [text.decode(errors="replace") for text in texts],
        "bytes_per_second": sum(map(len, texts)) / seconds[1],
        "first_call_seconds": seconds[0],
        "tokens": length,
    }


if __name__ == "__main__":
    launch.main(run)
