"""The report of a workdir: Markdown, and the figures embedded in it."""

import string

from keras_nc.coding.archive import atomic_file
from keras_nc.models import CompressedCausalLM
from recipes import plots
from recipes import workdir

NAMES = {
    "windows": "windows",
    "built_in": "built-in windows",
    "bytes": "bytes",
    "sentencepiece": "pieces",
}
PARAGRAPH_BYTES = 400
PROSE = (string.ascii_letters + " .,;'()-").encode()


def write(setting, result):
    """Write `report.md` and `figures/`.

    Args:
        setting: A `Setting`.
        result: What `evaluate.gather` returned.
    """
    figures = setting.workdir / "figures"
    figures.mkdir(exist_ok=True)
    histories = {
        tokens: workdir.read_json(
            setting.workdir / "models" / tokens / "result.json"
        )["history"]
        for tokens in result["models"]
    }
    draw_curves(histories, figures)
    draw_flops(result["models"], figures)
    draw_segmentation(setting, result["models"], figures)
    sections = [
        heading(setting, result),
        table(result, histories),
        m1_section(result),
        curves_section(),
        seconds_section(result),
        generation_section(setting),
    ]
    if "built_in" in result["models"]:
        sections.insert(2, built_in_section(result["models"]))
    with atomic_file(setting.workdir / "report.md") as file:
        file.write("\n\n".join(sections).encode() + b"\n")


def label(tokens, row):
    """Return the name of a model in tables and pictures."""
    size = f"{row['vocabulary_size']:,}"
    return {
        "windows": f"M2, equal-info windows {size}",
        "built_in": f"M2, windows of the built-in codebook {size}",
        "bytes": "bytes",
        "sentencepiece": f"SentencePiece {size}",
    }[tokens]


def draw_curves(histories, figures):
    """Draw held-out bits/byte over bytes and over seconds."""
    curves = {
        NAMES[tokens]: {
            "bytes": [row["bytes"] for row in history],
            "seconds": [row["seconds"] for row in history],
            "bits_per_byte": [row["held_out_bits_per_byte"] for row in history],
        }
        for tokens, history in histories.items()
    }
    for against in ("bytes", "seconds"):
        figure = plots.training_curves(curves, against)
        plots.save_figure(figure, figures / f"bits_over_{against}.png")


def draw_flops(models, figures):
    """Draw bits/byte against FLOPs/byte, logits included."""
    points = {
        label(tokens, row): (
            row["flops_per_byte"]["with_logits"],
            row["bits_per_byte"],
        )
        for tokens, row in models.items()
    }
    figure = plots.bits_against_flops(points)
    plots.save_figure(figure, figures / "bits_against_flops.png")


def draw_segmentation(setting, kinds, figures):
    """Draw how each tokenizer cuts a paragraph of the held-out text."""
    paragraph = choose_paragraph(setting.documents("held_out"))
    rows = {}
    for tokens in kinds:
        if tokens != "bytes":
            folder = setting.workdir / "models" / tokens / "preset"
            tokenizer = CompressedCausalLM.from_preset(
                str(folder)
            ).preprocessor.tokenizer
            ids = tokenizer.encode_batch([paragraph])[0].tolist()
            rows[NAMES[tokens]] = pieces(tokenizer, ids)
    if rows:
        figure = plots.segmentation(rows)
        plots.save_figure(figure, figures / "segmentation.png")


def pieces(tokenizer, ids):
    """Return the bytes of every window, of one id or several."""
    size = tokenizer.layout.tokens_per_window
    return [
        tokenizer.detokenize(ids[i : i + size])
        for i in range(0, len(ids), size)
    ]


def choose_paragraph(documents):
    """Return the first paragraph of prose that is neither short nor long."""
    first = b""
    for document in documents:
        for paragraph in document.split(b"\n\n"):
            paragraph = b" ".join(paragraph.split())
            first = first or paragraph[:PARAGRAPH_BYTES]
            long = PARAGRAPH_BYTES // 2 < len(paragraph) <= PARAGRAPH_BYTES
            if long and all(byte in PROSE for byte in paragraph):
                return paragraph
    return first


def heading(setting, result):
    """Return the title and the conditions of the run."""
    models = result["models"]
    tokens = next(iter(models.values()))["train_tokens"]
    data = ", ".join(setting.data)
    return (
        f"# keras_nc: configuration `{setting.name}`\n\n"
        f"Text: `{data}`; {result['held_out_bytes']:,} bytes in "
        f"{result['held_out_documents']:,} documents are held out, the same "
        f"for every row. Every model saw {tokens:,} tokens. Backend: "
        f"{result['backend']}, {setting.config.dtype}; Keras "
        f"{result['keras']}, Python {result['python']}; {result['machine']}."
    )


def table(result, histories):
    """Return the table of all models."""
    seconds = result["equal_seconds"]
    columns = [
        "model",
        "vocabulary",
        "parameters",
        "bytes/token",
        "uniform",
        "unigram",
        "**bits/byte**",
        "sample, equal tokens",
        f"sample, equal seconds ({seconds:,.0f} s)",
        "FLOPs/byte, paper",
        "FLOPs/byte, run",
        "FLOPs/byte, with logits",
        "encode MB/s",
    ]
    lines = [as_row(columns), "|---" + "|---:" * (len(columns) - 1) + "|"]
    for tokens, row in result["models"].items():
        flops = row["flops_per_byte"]
        history = histories[tokens]
        lines.append(
            as_row(
                [
                    label(tokens, row),
                    f"{row['vocabulary_size']:,}",
                    f"{row['parameters']:,}",
                    f"{row['bytes_per_token']:.3f}",
                    f"{row['uniform']:.3f}",
                    f"{row['unigram']:.3f}",
                    f"**{row['bits_per_byte']:.3f}**",
                    f"{history[-1]['held_out_bits_per_byte']:.3f}",
                    at_seconds(history, seconds),
                    f"{flops['paper']:,.0f}",
                    f"{flops['run']:,.0f}",
                    f"{flops['with_logits']:,.0f}",
                    f"{row['encode_mb_per_second']:,.1f}",
                ]
            )
        )
    return "\n".join(lines) + (
        "\n\nBits per byte of held-out text, after equally many tokens of "
        "training: bits of all tokens, end of text included, over the bytes "
        "they stand for. *Uniform* and *unigram* are models that know nothing, "
        "or how frequent each token is. The *sample* is the part of the "
        "held-out text that is scored during training: *equal tokens* at the "
        "end, *equal seconds* when each model had trained as long as the "
        "fastest did in all. FLOPs: *paper* counts parameters without "
        "embeddings, and M1 on every byte; *run* leaves M1 out, for a codebook "
        "needs none; *with logits* adds the product that gives the logits. "
        "Encoding: the held-out text in one call, on one core."
    )


def built_in_section(models):
    """Say which rows compare models fairly."""
    own = models["windows"]["bytes_per_token"]
    ratio = models["built_in"]["bytes_per_token"]
    return (
        "The codebook of *equal-info windows* and the SentencePiece model "
        "learned from the training text; compare these two rows with each "
        "other. The *built-in codebook* learned from other English text, the "
        "manuals and reference books of Debian. It needs no building, and its "
        f"windows hold {ratio:.2f} bytes of this text instead of "
        f"{own:.2f}."
    )


def as_row(cells):
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"


def at_seconds(history, seconds):
    """Return the last score of the sample within some seconds of training."""
    scores = [
        row["held_out_bits_per_byte"]
        for row in history
        if row["seconds"] <= seconds
    ]
    return f"{scores[-1]:.3f}" if scores else "none yet"


def m1_section(result):
    """Compare M1 with compressors such as gzip."""
    m1 = result["m1"]
    rows = dict(result["compressors"])
    about_m1 = ""
    if m1 is not None:
        seen = f"{m1['bytes']:,} bytes seen"
        learned = "M1 learned from the training text"
        if m1["preset"]:
            seen = m1["preset"]
            learned = "M1 is a preset, which learned from other English text,"
        rows = {f"M1 ({seen})": m1["bits_per_byte"], **rows}
        about_m1 = f"; {learned} and sees no further back than its sequence"
    lines = [f"| {name} | {bits:.3f} |" for name, bits in rows.items()]
    return (
        "## M1 beside compressors\n\n"
        "Bits per byte of the same held-out text. The compressors see it as "
        f"one stream{about_m1}.\n\n"
        "| | bits/byte |\n|---|---:|\n" + "\n".join(lines)
    )


def curves_section():
    """Return the links to the pictures."""
    return (
        "## Pictures\n\n"
        "![Bits per byte over bytes of text](figures/bits_over_bytes.png)\n\n"
        "![Bits per byte over seconds of training]"
        "(figures/bits_over_seconds.png)\n\n"
        "![Bits per byte against FLOPs per byte]"
        "(figures/bits_against_flops.png)\n\n"
        "One held-out paragraph, as each tokenizer cuts it:\n\n"
        "![Windows and pieces of one paragraph](figures/segmentation.png)"
    )


def seconds_section(result):
    """Return a table of the seconds of every stage."""
    stages = {"build the codebook": result["codebook"]["seconds"]}
    if result["m1"] is not None:
        loaded = result["m1"]["preset"]
        name = "load and score M1" if loaded else "train M1"
        stages = {name: result["m1"]["seconds"], **stages}
    if result["sentencepiece_seconds"] is not None:
        stages["train SentencePiece"] = result["sentencepiece_seconds"]
    for tokens, row in result["models"].items():
        stages[f"tokenize into {NAMES[tokens]}"] = row["tokenize_seconds"]
        stages[f"train over {NAMES[tokens]}"] = row["train_seconds"]
        stages[f"score over {NAMES[tokens]}"] = row["score_seconds"]
    lines = [f"| {name} | {value:,.1f} |" for name, value in stages.items()]
    return "## Seconds\n\n| stage | seconds |\n|---|---:|\n" + "\n".join(lines)


def generation_section(setting):
    """Show what the models write, and how fast."""
    generated = workdir.read_json(setting.workdir / "generations.json")
    if generated is None:
        return "## Text\n\nNothing was generated: run `recipes.generate`."
    models = generated["models"]
    lines = [
        f"| {writer(tokens)} | {row['bytes_per_second']:,.0f} "
        f"| {row['first_call_seconds']:,.1f} |"
        for tokens, row in models.items()
    ]
    parts = [
        "## Text\n\n"
        f"Continuations of held-out texts ({generated['sampling']}), all "
        "prompts in one batch; the second call is timed, the first one "
        "compiles.\n\n"
        "| model | bytes/s | first call, s |\n|---|---:|---:|\n"
        + "\n".join(lines)
    ]
    for i, prompt in enumerate(generated["prompts"]):
        parts.append(f"### Prompt {i + 1}\n\n{quote(prompt)}")
        for tokens, row in models.items():
            text = row["continuations"][i]
            parts.append(f"**{writer(tokens)}** continues:\n\n{quote(text)}")
    english = generated.get("english", {"models": {}})
    for name, row in english["models"].items():
        parts.append(
            f"## What `{name}` writes\n\nIt learned for longer, on a GPU, from "
            "the manuals and reference books of Debian. It has not seen this "
            "text."
        )
        pairs = zip(english["prompts"], row["continuations"], strict=True)
        parts += [quote(prompt + text) for prompt, text in pairs]
    return "\n\n".join(parts)


def writer(tokens):
    """Return what a continuation is signed with."""
    if tokens in NAMES:
        return f"The model over {NAMES[tokens]}"
    return f"The built-in {tokens}"


def quote(text):
    """Return text as an indented block, because no text can end it."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
