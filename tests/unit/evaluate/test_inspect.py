"""`rojak inspect` on made records and on a small prepared corpus with faults."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from rojak.cli import app
from rojak.data.clips import Refusal
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.errors import InputError
from rojak.evaluate.inspect.drawing import coloured, draw_histogram
from rojak.evaluate.inspect.survey import histogram, survey_prepared, switch_pairs
from rojak.evaluate.inspect.suspicion import SUSPICIONS, Suspicions
from rojak.evaluate.inspect.write import inspect, spread, survey_document
from rojak.records import Utterance, Word

EVIL = '</p><script>alert("x")</script>'


def record(number: int = 0, **fields: Any) -> Utterance:
    made = {"audio_id": f"u{number}", "audio_filepath": "a.flac", "text": f"saya nak makan nombor {number}"}
    return Utterance.model_validate({**made, "duration": 3.0, "speaker_id": f"s{number}", "language": "ms", **fields})


def words(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"word": word, "language": language} for word, language in pairs]


NAMES = words(("Tan", "other"), ("Ah", "other"), ("Kow", "other"), ("pergi", "ms"))
MALAY = words(("saya", "ms"), ("nak", "ms"), ("makan", "ms"), ("lah", "particle"), ("lunch", "en"))


@pytest.mark.parametrize(
    ("fields", "num_tokens", "expected"),
    [
        ({}, 20, []),
        ({"duration": 30.0}, 20, ["odd_rate"]),
        ({"duration": 0.5}, 20, ["odd_rate"]),
        ({"snr_db": 9.0}, 20, ["noisy"]),
        ({"snr_db": 10.0}, 20, []),
        ({"snr_db": 4.0, "added_snr_db": 4.0}, 20, []),
        ({"language": "ta", "words": MALAY}, 20, ["other_language"]),
        ({"language": "ms", "words": MALAY}, 20, []),
        ({"language": "mixed", "words": MALAY}, 20, []),
        ({"words": NAMES}, 20, ["unknown_words"]),
        ({"original_sample_rate": 8000}, 20, ["narrow_band"]),
        ({}, 400, ["many_tokens"]),
        ({"snr_db": 2.0}, 400, ["noisy", "many_tokens"]),
    ],
)
def test_suspicions(fields: dict[str, Any], num_tokens: int, expected: list[str]) -> None:
    odd = record(99, **fields)
    judge = Suspicions([record(number) for number in range(40)] + [odd])
    found = judge.of(odd, num_tokens)
    assert [one.reason for one in found] == expected
    assert set(expected) <= set(SUSPICIONS)
    assert not judge.of(record(0), 20)


def test_a_repeated_sentence_is_suspicious_within_a_speaker() -> None:
    same = [record(number, text="ya betul", speaker_id="s") for number in range(3)]
    others = [record(number, text="ya betul") for number in range(3, 20)]
    judge = Suspicions([*same, *others])
    assert [one.reason for one in judge.of(same[0], None)] == ["repeated"]
    assert judge.of(others[0], None) == []


def test_histogram_counts_every_value_once() -> None:
    values = [0.2, 0.2, 1.0, 3.7, 29.95]
    found = histogram(values)
    assert sum(found.counts) == len(values)
    assert found.edges[0] <= 0.2 and found.edges[-1] >= 29.95 and len(found.counts) <= 31
    assert found.median == 1.0
    assert histogram([5, 5, 5]).counts == [3]
    assert draw_histogram("Tokens", "tokens", histogram([5, 5, 5])).count("<rect") == 1


def test_texts_are_coloured_as_written_and_escaped() -> None:
    tagged = [Word(word="nak", language="ms"), Word(word="水", language="zh"), Word(word="lah", language="particle")]
    html = coloured(f"Nak 水果 lah {EVIL}", tagged)
    assert '<span class="ms" lang="ms">Nak</span> <span class="zh" lang="zh">水</span>果 <span class="pt">lah' in html
    assert "<script" not in html
    assert re.sub("<[^>]+>", "", html).startswith("Nak 水果 lah &lt;/p&gt;")


def test_switch_pairs_leave_particles_out() -> None:
    spoken = words(("saya", "ms"), ("lah", "particle"), ("lunch", "en"), ("time", "en"), ("水", "zh"))
    assert switch_pairs(record(words=spoken)) == ["ms → en", "en → zh"]


def test_every_reason_is_shown_early() -> None:
    refusals = [Refusal(f"{reason}{n}", None, reason, "", "") for reason in ("a", "b") for n in range(3)]
    assert [refusal.audio_id for refusal in spread(refusals)] == ["a0", "b0", "a1", "b1", "a2", "b2"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six good clips, one noisy by its own word, and three refused; one text is hostile."""
    root = tmp_path / "corpus"
    root.mkdir()
    rng = np.random.default_rng(1)
    items = {}
    for number in range(9):
        t = np.arange(32_000 + 800 * number) / 16_000
        voice = 0.2 * np.sin(2 * np.pi * (150 + 9 * number) * t) * (np.sin(2 * np.pi * 3 * t) > 0)
        soundfile.write(root / f"c{number}.wav", voice + 1e-4 * rng.standard_normal(len(t)), 16_000)
        items[f"c{number}"] = {"audio_filepath": f"c{number}.wav", "text": f"saya nak makan {number} lah {EVIL}"}
        items[f"c{number}"] |= {"speaker_id": f"s{number}", "snr_db": 20.0}
    items["c0"]["snr_db"] = 3.0
    items["c6"]["text"] = "<noise>"
    items["c7"]["duration"] = 9.0
    (root / "c8.wav").write_bytes(b"")
    (root / "transcripts.json").write_text(json.dumps(items), encoding="utf-8")
    return root


def test_the_page_and_the_document(corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare(corpus, data, settings=PrepareSettings(allow_bad=0.5), workers=0)
    survey, path = inspect(data, source=str(corpus), count_tokens=len)
    page = path.read_text(encoding="utf-8")
    assert path == data / "inspect.html"
    assert "6 clips" in page and "<script" not in page
    assert '<span class="ms" lang="ms">makan</span>' in page.partition("Suspicious clips</h2>")[0]
    assert page.count("<audio") == 3  # c0, and c6 and c7 from the corpus; c8 has no sound
    assert page.index("only_markers") < page.index("Suspicious clips</h2>") < page.index("Hours</h2>")
    assert "http" not in re.sub(r"http-equiv", "", page)
    document = json.loads(json.dumps(survey_document(survey)))
    assert document["refused"] == {"empty_file": 1, "only_markers": 1, "duration_mismatch": 1}
    assert {line["audio_id"] for line in document["quarantine"]} == {"c6", "c7", "c8"}
    [clip] = document["suspicious"]
    assert (clip["audio_id"], clip["reasons"][0]["reason"]) == ("c0", "noisy")
    assert document["particles"] == {"lah": 6}
    assert document["hours_by"]["split"]["train"]["clips"] == 4
    assert set(document["histograms"]) == {"duration_s", "snr_db", "syllables_per_s", "tokens"}
    silent, _ = inspect(data, tmp_path / "page.html")
    assert "--source CORPUS" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "tokens" not in silent.histograms


def test_the_command(corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare(corpus, data, settings=PrepareSettings(allow_bad=0.5), workers=0)
    done = CliRunner().invoke(app, ["inspect", str(data), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["clips"] == 6
    told = CliRunner().invoke(app, ["inspect", str(data)], catch_exceptions=False).output
    assert "3 refused, 1 suspicious" in " ".join(told.split())
    asked = CliRunner().invoke(app, ["inspect", str(data), "--clip", "c3", "--json"], catch_exceptions=False)
    first, second = json.loads(asked.stdout)["suspicious"]
    assert (first["audio_id"], first["reasons"][0]["reason"], second["audio_id"]) == ("c3", "asked_for", "c0")
    with pytest.raises(InputError, match="holds no clip 'c99'"):
        inspect(data, clips=["c3", "c99"])


def test_what_is_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not prepared data"):
        survey_prepared(tmp_path)


def test_every_suspicion_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    section = page.partition("| suspicion |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE)) == set(SUSPICIONS)
