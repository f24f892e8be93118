"""A chart of a comparison: the share of the failed amount that was recovered, by days.

The only import of matplotlib, which production does not have.
"""

import html
import io
from collections.abc import Sequence
from pathlib import Path

from billing.domain.errors import InvalidValue, NotConfigured
from billing.simulation.comparing import CURVE_DAYS, Score
from schedules.walltime import quoted

SUFFIXES = (".png", ".html")


def check(path: Path) -> None:
    """Refuse a chart that could not be drawn, before the simulation runs."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidValue(f"--chart must be a .png or .html file, not {quoted(str(path))}")
    if not path.parent.is_dir():
        raise InvalidValue(f"there is no folder {path.parent}")
    try:
        import matplotlib as mpl
    except ImportError as missing:
        raise NotConfigured(
            "matplotlib draws the chart and is not installed; run: pip install 'ovo-billing[local]'"
        ) from missing
    mpl.use("Agg")


def draw(path: Path, scores: Sequence[Score], title: str) -> None:
    """Write the chart; an .html file is one self-contained page."""
    try:
        if path.suffix.lower() == ".png":
            path.write_bytes(_drawn(scores, title, "png"))
        else:
            picture = _drawn(scores, title, "svg").decode()
            page = f'<!doctype html>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
            path.write_text(page + picture[picture.index("<svg") :], encoding="utf-8")
    except OSError as failed:
        raise InvalidValue(f"cannot write {path}: {failed.strerror}") from None


def _drawn(scores: Sequence[Score], title: str, form: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=100, layout="constrained")
    axes = figure.subplots()
    for score in scores:
        name = score.contender.name.replace("$", r"\$")  # a dollar sign would start a formula
        axes.step(range(CURVE_DAYS + 1), score.curve(), where="post", label=name)
    axes.set(
        title=title, xlabel="days after the first failure", ylabel="% of the failed rupiah back",
        xlim=(0, CURVE_DAYS), ylim=(0, 100),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    figure.savefig(picture, format=form, metadata=metadata)
    return picture.getvalue()
