"""Turn the records of `recipes.reproduce` into tables, plots and claims.

    python -m recipes.reproduce_report --workdirs runs/tiny --output report

The folder of --output, by default the first workdir, then has `report.md`, the
paper's tables with our figures beside the paper's, and `figures/`, the plots.
Nothing is trained.
"""

import pathlib
import shutil

from keras_nc.coding.archive import atomic_file
from recipes import claims
from recipes import experiments
from recipes import launch
from recipes import plots
from recipes import verdicts
from recipes import workdir
from recipes.engine import records
from recipes.engine.records import SIZES
from recipes.paper_results import BYTE_MATCHED
from recipes.paper_results import NOTHING_SAID
from recipes.paper_results import RESULTS
from recipes.paper_results import SIZES as PAPER_SIZES

REPORT = "report.md"
FIGURES = "figures"
NOT_RUN = "not run"
NOTHING = "-"
MILLION = 1e6


def write(folders, output, module=None):
    """Write `report.md` and `figures/`.

    Args:
        folders: A list of workdirs.
        output: `pathlib.Path` of the folder to write to.
        module: str. See `experiments.all_experiments`.
    """
    known = experiments.all_experiments(module)
    runs_m1 = {name for name, its in known.items() if its.runs_m1}
    entries = records.read(folders, runs_m1)
    sections = [
        conditions(entries),
        section("Claims", CLAIMS_TEXT, claims_table(entries)),
        section("Bits per byte", BITS_TEXT, bits_table(entries, known)),
        *(
            section(f"Size {size}", DETAILS_TEXT, details(entries, known, size))
            for size in SIZES
            if any(its == size for _, its in entries)
        ),
        section("Equal compute", COMPUTE_TEXT, compute_table(entries, known)),
        section(
            "Models without context",
            TRIVIAL_TEXT,
            trivial_table(entries, known),
        ),
        section("Equal bytes per sequence", MATCHED_TEXT, matched(entries)),
        *analyses(folders, output),
        draw(entries, known, output),
    ]
    output.mkdir(parents=True, exist_ok=True)
    with atomic_file(output / REPORT) as file:
        file.write("\n\n".join(filter(None, sections)).encode() + b"\n")


CLAIMS_TEXT = (
    "A difference counts only if it is above 0.006 bits/byte and above the "
    "largest range of the seeds of an experiment at this size. Otherwise a "
    "claim is *not testable at this size*. "
    "A model that is less than 2% below uniform has learned nothing. *not run* "
    "marks a claim whose experiments are lacking."
)
BITS_TEXT = (
    "Our figure / the paper's. `-` is a figure that the paper does not give."
)
DETAILS_TEXT = (
    "Our figure / the paper's. *uniform* is the bits/byte of a model that "
    "knows nothing, *below uniform* what M2 saves of it, and *passes* how "
    "often it read the training text. FLOPs/byte are in millions, without "
    "logits, as in the paper; *with M1* adds M1 on every byte where tokenizing "
    "runs it."
)
COMPUTE_TEXT = (
    "Bits per byte of the part of the held-out text that is scored during "
    "training, when each size has used the compute of the smallest one; in the "
    "paper, that of 25m after 3,000 steps."
)
TRIVIAL_TEXT = (
    "A uniform model gives all tokens the same probability, a unigram model "
    "their frequencies."
)
MATCHED_TEXT = (
    "b16 at 25m; the sequences of v65k have half as many tokens as those of "
    "v256."
)


def section(title, text, body):
    """Return a section in Markdown."""
    return "\n\n".join(filter(None, [f"## {title}", text, body]))


def table(header, rows):
    """Return a table in Markdown."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def beside(ours, theirs, form="{:.2f}"):
    """Return our figure and the paper's as a cell."""
    if ours is None and theirs is None:
        return NOT_RUN
    ours = NOT_RUN if ours is None else ours
    theirs = NOTHING if theirs is None else form.format(theirs)
    return f"{ours} / {theirs}"


def conditions(entries):
    """Return the title and where the records come from."""
    if not entries:
        return "# Reproduction\n\nNo run is finished yet."
    machines, tokens, seconds = {}, {}, 0
    for (_, size), entry in entries.items():
        tokens.setdefault(size, set()).add(entry.tokens)
        for record in entry.records:
            seconds += record["seconds"] + record["score_seconds"]
            its = record["machine"]
            devices = ", ".join(dict.fromkeys(its["devices"]))
            versions = " ".join(
                f"{name} {version}" for name, version in its["versions"].items()
            )
            machines[
                f"{devices} ({its['processor']}, {its['cores']} cores); "
                f"{record['settings']['dtype']}; Python {its['python']}, "
                f"{versions}"
            ] = None
    each = "; ".join(
        f"{size}: {', '.join(f'{count:,}' for count in sorted(counts))}"
        for size, counts in tokens.items()
    )
    collapsed = sum(entry.has_collapsed() for entry in entries.values())
    return "# Reproduction\n\n" + "\n".join(
        [
            *(f"- {machine}" for machine in machines),
            f"- tokens of training: {each}",
            f"- {sum(len(e.records) for e in entries.values())} runs, "
            f"{seconds / 60:,.1f} minutes of training and scoring; "
            f"{collapsed} lost half of what they had learned",
        ]
    )


def claims_table(entries):
    """Return the table of claims."""
    scores = {
        key: verdicts.Score(
            entry.mean,
            entry.half_range,
            entry.uniform,
            entry.flops + entry.m1_flops,
            entry.first["unigram"],
        )
        for key, entry in entries.items()
    }
    rows = [list(row) for row in claims.judge_all(scores, SIZES)]
    return table(["claim of the paper", "verdict", "bits/byte"], rows)


def rows_of(entries, known):
    """Return the names of the rows: the paper's, and what was run."""
    ran = {name for name, _ in entries}
    return [name for name in known if known[name].paper or name in ran]


def bits_table(entries, known):
    """Return bits per byte of all experiments at all sizes."""
    rows = []
    for name in rows_of(entries, known):
        paper = RESULTS.get(name, NOTHING_SAID)
        theirs = dict(zip(PAPER_SIZES, paper.bits, strict=True))
        cells = [known[name].row]
        for size in SIZES:
            entry = entries.get((name, size))
            cells.append(beside(score(entry), theirs.get(size)))
        rows.append(cells)
    return table(["method", *SIZES], rows)


def score(entry):
    """Return the bits per byte of an entry as text; `None` without one."""
    if entry is None:
        return None
    text = f"{entry.mean:.3f}"
    if len(entry.records) > 1:
        text += f" ± {entry.half_range:.3f}"
    return text


def details(entries, known, size):
    """Return the table of all figures of a size."""
    header = ["method", "ids", "bytes/token", "uniform", "bits/byte"]
    header += ["below uniform", "FLOPs/byte", "with M1", "passes"]
    header += ["generated bytes/s"]
    rows = []
    for name in rows_of(entries, known):
        entry = entries.get((name, size))
        if entry is None:
            continue
        paper = RESULTS.get(name, NOTHING_SAID)
        flops = dict(zip(PAPER_SIZES, paper.flops, strict=True)).get(size)
        bits = dict(zip(PAPER_SIZES, paper.bits, strict=True)).get(size)
        both = (entry.flops + entry.m1_flops) / MILLION
        speed = entry.first.get("generation", {}).get("bytes_per_second")
        rows.append(
            [
                known[name].row,
                f"{entry.first['vocabulary_size']:,}",
                beside(f"{entry.ratio:.2f}", paper.ratio),
                beside(f"{entry.uniform:.3f}", paper.uniform, "{:.3f}"),
                beside(score(entry), bits),
                f"{1 - entry.mean / entry.uniform:z.1%}",
                f"{entry.flops / MILLION:.2f}",
                beside(f"{both:.2f}", flops, "{:g}"),
                f"{entry.first['passes']:.1f}",
                NOTHING if speed is None else f"{speed:,.0f}",
            ]
        )
    return table(header, rows)


def compute_table(entries, known):
    """Return bits per byte at equal compute for each size."""
    rows = []
    for name in ("bytes", "sentencepiece_32k", "b16_v65k", "b16_v256"):
        theirs = dict(
            zip(PAPER_SIZES, RESULTS[name].fixed_compute, strict=True)
        )
        its = {size: entries.get((name, size)) for size in SIZES}
        least = [entry.compute for entry in its.values() if entry]
        cells = [known[name].row]
        for size, entry in its.items():
            bits = entry and entry.at_compute(min(least))
            ours = None if bits is None else f"{bits:.3f}"
            cells.append(beside(ours, theirs.get(size)))
        rows.append(cells)
    return table(["method", *SIZES], rows)


def trivial_table(entries, known):
    """Return the table of what uniform and unigram models score."""
    rows = []
    for name, paper in RESULTS.items():
        found = [e for (other, _), e in entries.items() if other == name]
        uniform = unigram = None
        if found:
            uniform = f"{found[0].uniform:.3f}"
            unigram = f"{found[0].first['unigram']:.3f}"
        if paper.uniform is not None:
            rows.append(
                [
                    known[name].row,
                    beside(uniform, paper.uniform, "{:.3f}"),
                    beside(unigram, paper.unigram, "{:.3f}"),
                ]
            )
    return table(["method", "uniform", "unigram"], rows)


def matched(entries):
    """Return the comparison of vocabularies at equal bytes per sequence."""
    lengths = {}
    for name in BYTE_MATCHED:
        entry = entries.get((name, "25m"))
        if entry is not None:
            training = entry.first["settings"]["m2_training"]
            lengths[name] = training["sequence_length"]
    fits = 2 * lengths.get("b16_v65k", 0) == lengths.get("b16_v256")
    rows = []
    for name, theirs in BYTE_MATCHED.items():
        ours = score(entries[name, "25m"]) if fits else None
        rows.append([name, beside(ours, theirs, "{:.3f}")])
    return table(["method", "bits/byte"], rows)


def analyses(folders, output):
    """Return the sections that `recipes.analyses` left in the workdirs.

    Their plots are copied to the others.
    """
    for folder in folders:
        for path in sorted(pathlib.Path(folder, "analyses").glob("*.json")):
            result = workdir.read_json(path)
            parts = [table(result["header"], result["rows"])]
            picture = path.with_suffix(".png")
            if picture.exists():
                figures = output / FIGURES
                figures.mkdir(parents=True, exist_ok=True)
                shutil.copy(picture, figures / picture.name)
                parts.append(f"![{result['title']}]({FIGURES}/{picture.name})")
            yield section(result["title"], result["text"], "\n\n".join(parts))


def draw(entries, known, output):
    """Draw the plots; return the section that shows them."""
    if not entries:
        return ""
    figures = output / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    several = len({size for _, size in entries}) > 1
    names = {
        (name, size): known[name].row + f", {size}" * several
        for name, size in entries
        if name in known
    }
    pictures = {
        "bits_against_flops_with_m1": "FLOPs per byte, with M1",
        "bits_against_flops": "FLOPs per byte",
        "bits_against_bytes_per_step": "bytes per step of the decoder",
    }
    for file, label in pictures.items():
        points = {}
        for key, name in names.items():
            entry = entries[key]
            x = entry.flops + entry.m1_flops * file.endswith("m1")
            if "step" in file:
                x = entry.ratio
            points[name] = (x, entry.mean)
        figure = plots.bits_against_flops(points, label)
        plots.save_figure(figure, figures / f"{file}.png")
    curves = {
        name: {
            "bytes": [row["bytes"] for row in entries[key].first["curve"]],
            "seconds": [row["seconds"] for row in entries[key].first["curve"]],
            "bits_per_byte": [
                row["held_out_bits_per_byte"]
                for row in entries[key].first["curve"]
            ],
        }
        for key, name in names.items()
    }
    figure = plots.training_curves(curves, "bytes")
    plots.save_figure(figure, figures / "curves.png")
    images = [
        f"![Bits per byte against {label}]({FIGURES}/{file}.png)"
        for file, label in pictures.items()
    ]
    images.append(f"![Bits per byte while training]({FIGURES}/curves.png)")
    return "## Plots\n\n" + "\n\n".join(images)


OWN = {
    "workdirs": {
        "nargs": "+",
        "default": [pathlib.Path()],
        "type": pathlib.Path,
        "metavar": "FOLDER",
        "help": "Workdirs of `recipes.reproduce`, by default this folder.",
    },
    "output": {
        "type": pathlib.Path,
        "metavar": "FOLDER",
        "help": "Where the report goes, by default the first workdir.",
    },
    "module": {
        "metavar": "NAME",
        "help": "The module of your own experiments.",
    },
}


def run(workdirs, output, module):
    """Write the report and print it."""
    output = output or workdirs[0]
    write(workdirs, output, module)
    print((output / REPORT).read_text(), end="", flush=True)


if __name__ == "__main__":
    launch.start(run, **OWN)
