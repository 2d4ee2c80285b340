"""Measure the word-language tagger on the hand-tagged gold, beside a plain frequency ratio and lingua.

Reads `tests/data/tagger_gold_{dev,report}.txt`, prints Markdown: load time, speed, accuracy with a 95 % interval
(bootstrap over sentences), confusion, every error. Run `python benchmarks/tagger.py`; `--part dev` while developing.
lingua (`pip install lingua-language-detector`) is compared when it is installed and said to be missing when it is not.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import wordfreq

from rojak.text.language import load_tagger, tag_words
from rojak.text.lexicon import script_of
from rojak.text.normalize import normalize
from rojak.text.units import words

DATA = Path(__file__).parent.parent / "tests" / "data"
TAGS = ("ms", "en", "zh", "ta", "particle", "other")
SPOKEN = TAGS[:4]
_LETTERS = dict(zip("meztpo", TAGS, strict=True))


class Sentence(NamedTuple):
    """A gold sentence: its text without marks, its scoring units and their tags."""

    text: str
    units: list[str]
    tags: list[str]


def read_gold(path: Path) -> list[Sentence]:
    """Read sentences in which `[m]` … `[o]` mark the language of the words up to the next mark."""
    sentences = []
    for line in path.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        first, *rest = re.split(r"\[([meztpo])\]", line)
        stretches = list(zip(rest[::2], rest[1::2], strict=True))
        text = re.sub(r"\s+([,.?!])", r"\1", " ".join("".join(part for _, part in stretches).split()))
        tags = [_LETTERS[letter] for letter, part in stretches for _ in words(normalize(part))]
        units = words(normalize(text))
        if first or len(units) != len(tags):
            raise ValueError(f"{path.name}: the marks do not fit the words of: {line}")
        sentences.append(Sentence(text, units, tags))
    return sentences


def tag_with_rojak(text: str) -> list[str]:
    return [word.language for word in tag_words(text)]


def tag_by_ratio(text: str) -> list[str]:
    """Tag by script and by which frequency list holds a word at the higher frequency: no context, no rules."""
    tags = []
    for unit in words(normalize(text)):
        script = script_of(unit)
        malay, english = wordfreq.zipf_frequency(unit, "ms"), wordfreq.zipf_frequency(unit, "en")
        tags.append(script if script in ("zh", "ta") else "ms" if malay > english else "en")
    return tags


def lingua_taggers() -> dict[str, Callable[[str], list[str]]]:
    """Build lingua restricted to the four languages: word by word, and by its own cutting of mixed text."""
    from lingua import Language, LanguageDetectorBuilder

    codes = {Language.MALAY: "ms", Language.ENGLISH: "en", Language.CHINESE: "zh", Language.TAMIL: "ta"}
    detector = LanguageDetectorBuilder.from_languages(*codes).with_preloaded_language_models().build()

    def by_word(text: str) -> list[str]:
        return [codes.get(detector.detect_language_of(unit), "other") for unit in words(normalize(text))]

    def by_section(text: str) -> list[str]:
        normalized = normalize(text)
        tags: list[str] = []
        sections = detector.detect_multiple_languages_of(normalized)
        place = 0
        for unit in words(normalized):
            place = normalized.index(unit, place)
            found = [s.language for s in sections if s.start_index <= place < s.end_index]
            tags.append(codes[found[0]] if found else "other")
            place += len(unit)
        return tags

    return {"lingua, word by word": by_word, "lingua, mixed-text sections": by_section}


def accuracy(right: list[list[bool]]) -> str:
    """Give the share of right words and its 95 % interval from 10 000 resamples of sentences."""
    sums = np.array([(sum(sentence), len(sentence)) for sentence in right])
    picks = np.random.default_rng(1).integers(0, len(sums), (10_000, len(sums)))
    shares = sums[picks, 0].sum(1) / sums[picks, 1].sum(1)
    low, high = np.percentile(shares, [2.5, 97.5])
    good, total = sums.sum(0)
    return f"{100 * good / total:.2f} % [{100 * low:.2f}, {100 * high:.2f}] of {total}"


def compare(gold: list[Sentence], taggers: dict[str, Callable[[str], list[str]]]) -> None:
    print("| system | all words | words in Latin script | of these, in ms or en |\n|---|---|---|---|")
    for name, tagger in taggers.items():
        columns: list[list[list[bool]]] = [[], [], []]
        for sentence in gold:
            found = tagger(sentence.text)
            judged = [(g, f == g, script_of(u)) for u, g, f in zip(sentence.units, sentence.tags, found, strict=True)]
            columns[0].append([ok for _, ok, _ in judged])
            columns[1].append([ok for _, ok, script in judged if script == "latin"])
            columns[2].append([ok for tag, ok, script in judged if script == "latin" and tag in SPOKEN])
        cells = [accuracy(column) for column in columns]
        if name.startswith(("lingua", "frequency")):
            cells[:2] = ["has no particles, no names"] * 2
        print(f"| {name} | {' | '.join(cells)} |")


def detail(gold: list[Sentence]) -> None:
    confusion = Counter[tuple[str, str]]()
    errors = []
    for text, units, tags in gold:
        found = tag_words(text)
        for unit, tag, (_, got, confidence) in zip(units, tags, found, strict=True):
            confusion[tag, got] += 1
            if tag != got:
                errors.append(f"| {unit} | {tag} | {got} | {confidence:.2f} | {text} |")
    print("\n| gold ↓ tagged → | " + " | ".join(TAGS) + " | recall | precision |\n|" + "---|" * 9)
    for tag in TAGS:
        row = [confusion[tag, got] for got in TAGS]
        column = sum(confusion[other, tag] for other in TAGS)
        shares = [f"{100 * confusion[tag, tag] / n:.1f} %" if n else "-" for n in (sum(row), column)]
        print(f"| {tag} | {' | '.join(map(str, row))} | {' | '.join(shares)} |")
    print(f"\n{len(errors)} errors:\n\n| word | gold | tagged | confidence | sentence |\n|---|---|---|---|---|")
    print("\n".join(errors))


def speed(gold: list[Sentence]) -> None:
    """Take the processor time of loading in a fresh interpreter, and of tagging new words and words already seen.

    Processor time, not time on the clock, so that other programs on the machine do not count.
    """
    code = "import time; from rojak.text.language import load_tagger; load_tagger(); print(time.process_time())"
    loading = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    num_words = sum(len(sentence.units) for sentence in gold)
    rates = []
    for repeats in (1, 20):
        start = time.process_time()
        for _ in range(repeats):
            for sentence in gold:
                tag_words(sentence.text)
        rates.append(repeats * num_words / (time.process_time() - start))
    start = time.process_time()
    steps = sum(1 for number in range(2_000_000) if number % 7)
    yardstick = 1e-6 * steps / (time.process_time() - start)
    print(
        f"Processor time: {loading:.2f} s to start Python and load; {rates[0]:,.0f} words/s new, {rates[1]:,.0f} known"
        f"; a bare Python loop makes {yardstick:.1f} million steps/s here and now."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("dev", "report", "both"), default="both")
    part = parser.parse_args().part
    parts = ("dev", "report") if part == "both" else (part,)
    gold = {name: read_gold(DATA / f"tagger_gold_{name}.txt") for name in parts}
    load_tagger()
    speed([sentence for sentences in gold.values() for sentence in sentences])
    taggers: dict[str, Callable[[str], list[str]]] = {"rojak": tag_with_rojak, "frequency ratio": tag_by_ratio}
    taggers["rojak, text normalised first"] = lambda text: tag_with_rojak(normalize(text))
    if importlib.util.find_spec("lingua"):
        taggers |= lingua_taggers()
    else:
        print("\nlingua is NOT compared: pip install lingua-language-detector to compare it.", file=sys.stderr)
    for name, sentences in gold.items():
        print(f"\n## {name}: {len(sentences)} sentences\n")
        compare(sentences, taggers)
        detail(sentences)


if __name__ == "__main__":
    main()
