"""What the analyses share: prepared tokens and text, tables and plots."""

import pathlib

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.archive import atomic_file
from keras_nc.data import TokenShards
from keras_nc.tokenizers import SchemeTokenizer
from recipes import experiments
from recipes import plots
from recipes import workdir
from recipes.engine import preparation
from recipes.plots.figures import new_figure
from recipes.plots.figures import new_font
from recipes.reproduce_report import table

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
WORKDIR = {
    "default": pathlib.Path(),
    "type": pathlib.Path,
    "metavar": "FOLDER",
    "help": "A workdir of `recipes.reproduce`, by default this folder.",
}
WINDOW_BITS = {
    "type": int,
    "choices": range(9, 17),
    "default": 12,
    "metavar": "W",
    "help": "Bits per window, 9 to 16, by default 12.",
}


def names_flag(default):
    """Return the flag that chooses experiments."""
    return {
        "nargs": "+",
        "default": list(default),
        "metavar": "NAME",
        "help": f"Experiments, by default {', '.join(default)}.",
    }


class Prepared:
    """An experiment that `recipes.reproduce` has prepared.

    `row` is its name in tables and figures.

    Args:
        folder: The workdir.
        name: str. The experiment.

    Raises:
        ValueError: If it is not prepared.
    """

    def __init__(self, folder, name):
        slug = preparation.slug(name)
        found = sorted(pathlib.Path(folder, "prepared").glob(f"{slug}_*"))
        found = [
            path
            for path in found
            if path.name.removeprefix(slug).strip("_").isdigit()
            and path.joinpath("prepared.json").exists()
        ]
        if not found:
            raise ValueError(
                f"The workdir must have the tokens of {name}. Received: "
                f"{folder} without them. Run `python -m recipes.reproduce "
                f"--prepare --experiment {name}` there."
            )
        known = experiments.EXPERIMENTS.get(name)
        self.row = known.row if known else name
        self.folder = found[0]
        self.figures = workdir.read_json(self.folder / "prepared.json")

    def shards(self, split="held_out"):
        """Return the `TokenShards` of a split."""
        return TokenShards(self.folder / split)

    def tokenizer(self):
        """Load the tokenizer."""
        return SchemeTokenizer.from_preset(str(self.folder / "tokenizer"))

    def ids(self, split="train"):
        """Return all ids without special ones, int32."""
        shards = self.shards(split)
        ids = shards.tokens(0, shards.num_tokens)
        return ids[ids >= NUM_SPECIAL].astype("int32")


def read_text(folder, most, split="held_out"):
    """Return the beginning of a workdir's text, cut into its examples.

    Args:
        folder: The workdir; `bytes` must be prepared.
        most: int. Bytes of text, at most.
        split: str.

    Returns:
        A list of bytes.
    """
    shards = Prepared(folder, "bytes").shards(split)
    texts, size = [], 0
    for i in range(shards.num_documents):
        ids = np.asarray(shards.document(i))
        text = (ids[ids >= NUM_SPECIAL] - NUM_SPECIAL).astype("uint8").tobytes()
        texts.append(text[: most - size])
        size += len(texts[-1])
        if size >= most:
            break
    return texts


def chart(x_label, y_label, lines, log=False):
    """Draw a line for each label.

    Args:
        x_label: str.
        y_label: str.
        lines: dict from labels to pairs of sequences, x and y. A single line
            needs no legend.
        log: bool. Whether the vertical axis is logarithmic.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = new_figure(7.7, 4.2)
    width = 0.6 if len(lines) > 1 else 0.87
    axes = figure.add_axes((0.095, 0.14, width, 0.82))
    for i, (label, (xs, ys)) in enumerate(lines.items()):
        style = "-" if i < len(COLORS) else "--"
        color = COLORS[i % len(COLORS)]
        axes.plot(xs, ys, f"o{style}", color=color, label=label, markersize=4)
    axes.set_xlabel(x_label, fontproperties=new_font(10))
    axes.set_ylabel(y_label, fontproperties=new_font(10))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    if log:
        axes.set_yscale("log")
    if len(lines) > 1:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.02, 1),
            frameon=False,
            prop=new_font(9),
        )
    return figure


def bars(x_label, values):
    """Draw a bar for each label of a dict; return the figure."""
    figure = new_figure(7.7, 0.8 + 0.4 * len(values))
    axes = figure.add_axes((0.22, 0.3, 0.74, 0.65))
    axes.barh(range(len(values)), list(values.values()), color=COLORS[0])
    axes.set_yticks(range(len(values)), values, fontproperties=new_font(9))
    axes.set_xlabel(x_label, fontproperties=new_font(10))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def save(folder, name, title, text, header, rows, figure=None):
    """Write the result of an analysis for the report, and print its table.

    Args:
        folder: The workdir.
        name: str. Name of the files.
        title: str.
        text: str. What the table says.
        header: A list of str.
        rows: A list of lists of str.
        figure: A figure, or `None`.
    """
    output = pathlib.Path(folder, "analyses")
    result = dict(title=title, text=text, header=header, rows=rows)
    workdir.write_json(output / f"{name}.json", result)
    if figure is not None:
        plots.save_figure(figure, output / f"{name}.png")
    with atomic_file(output / f"{name}.md") as file:
        file.write(table(header, rows).encode() + b"\n")
    print(table(header, rows), flush=True)


def cell(data):
    """Return bytes as a cell of a table, in Markdown's marks of code."""
    text = data.decode(errors="backslashreplace")
    text = text.replace("\n", "⏎").replace("\t", "⇥").replace("|", "¦")
    return f"`` {text} ``"
