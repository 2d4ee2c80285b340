import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rojak.audio import decode_audio
from rojak.errors import AudioError, InputError
from rojak.evaluate.compare import Difference
from rojak.evaluate.metrics import METRICS
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.report import browser, sound, write_markdown_report, write_report
from rojak.evaluate.report.breakdown import languages_section, slices_section
from rojak.evaluate.report.figures import difference, value_with_interval
from rojak.evaluate.report.html import Html, element, join
from rojak.evaluate.report.summary import describe, targets_section, verdict
from rojak.evaluate.results import Scores, Value
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.show import slice_table
from rojak.evaluate.tables import TaggerAgreement, reliability

EVIL = "</script><img src=x onerror=\"alert(1)\"> & '$title'"
SETTINGS: dict[str, Any] = {
    "model": "runs/demo",
    "base": "rojak-micro",
    "parameters_m": 9.4,
    "data": "prepared",
    "training_hours": 0.5,
    "decode": {"context": "trim", "beam_size": 1, "timestamps": False, "temperature": None},
}


def row(audio_id: str, reference: str, hypothesis: str, **fields: Any) -> Prediction:
    return Prediction(audio_id=audio_id, reference=reference, hypothesis=hypothesis, **fields)


def score(rows: Sequence[Prediction], system: str = "tuned", **options: Any) -> Scores:
    return score_predictions(rows, ScoreOptions(resamples=50, system=system, **options))


def two_systems() -> list[Scores]:
    said = [f"saya nak beli {n} buku lah" for n in ("dua", "tiga", "lima", "enam")]
    speakers = ["s1", "s1", "s2", "s2"]
    noise = [None, 12.0, 12.0, None]
    rows = [
        row(f"u{n}", text, text, speaker_id=speakers[n], added_snr_db=noise[n], duration=2.0, decode_s=0.2)
        for n, text in enumerate(said)
    ]
    base = [
        one.model_copy(update={"hypothesis": one.reference.replace("lah", "").replace("saya", "kami")}) for one in rows
    ]
    return [score(rows, settings=SETTINGS), score(base, "base")]


def page_of(folder: Path, systems: Sequence[Scores], **options: Any) -> str:
    return write_report(folder, systems, **options).read_text(encoding="utf-8")


def data_of(page: str, name: str = "rows") -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


# --- text of others ---


def test_text_is_escaped_and_html_is_not() -> None:
    built = element("p", "a < b", element("b", "c & d"), None, title='say "x"', hidden=True, data_x=None)
    assert built == '<p title="say &quot;x&quot;" hidden>a &lt; b<b>c &amp; d</b></p>'
    assert join([Html("<i>") + "x", "y"]) == "&lt;i&gt;xy"


def test_hostile_text_stays_text_everywhere(tmp_path: Path) -> None:
    rows = [
        row(EVIL, f"buku {EVIL}", f"meja {EVIL}", speaker_id=EVIL, domain=EVIL, language="ms"),
        row("b", "buku", EVIL, speaker_id="s2", domain="d2", language="en"),
    ]
    settings = {"model": EVIL, EVIL: EVIL}
    page = page_of(tmp_path, [score(rows, EVIL, settings=settings), score(rows, "base")], title=EVIL, date=EVIL)
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script") == 3
    data = data_of(page)
    assert data["rows"][0]["s"][0]["raw"] in (rows[0].hypothesis, rows[1].hypothesis)
    assert {found["id"] for found in data["rows"]} == {EVIL, "b"}
    assert not re.search(r"(?<!\\)<img", (tmp_path / "report.md").read_text(encoding="utf-8"))


def test_page_stands_alone_and_runs_only_its_own_script(tmp_path: Path) -> None:
    page = page_of(tmp_path, two_systems())
    assert set(re.findall(r"https?://[^\s\"')]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r'(src|href)="(?!#)', page)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert len(page.encode()) < 200_000


# --- what the page says ---


def test_sections_come_in_order_and_answers_first(tmp_path: Path) -> None:
    page = page_of(tmp_path, two_systems(), title="The title", date="2031-02-03")
    order = ["The title", "runs/demo", "2031-02-03", "context\u00a0trim", "rojak-1", "tuned meets", "Real-time factor"]
    order += ['id="measures"', 'id="learning"', 'id="slices"', 'id="noise"', 'id="particles"', 'id="languages"']
    order += ['id="switches"', 'id="utterances"']
    body = page[page.index("<body>") :]
    places = [body.index(text) for text in order]
    assert places == sorted(places)


def test_settings_are_told_in_two_lines() -> None:
    about, how = describe(two_systems(), "2031-02-03")
    assert about.startswith("tuned: runs/demo (from rojak-micro, 9.4 M parameters) · base. ")
    assert about.endswith("Data: prepared, 4 utterances, 2 speakers, 0.1 min of audio.")
    how = how.replace("\u00a0", " ")
    assert how.startswith("2031-02-03. Decoding: context trim, beam size 1, timestamps no. Normaliser: rojak-1.")


def test_targets_stand_beside_each_other_with_verdicts() -> None:
    systems = two_systems()
    assert verdict(systems) == "tuned meets 6 of the 6 targets measured; base meets 2."
    shown = str(targets_section(systems))
    noisy = shown[shown.index("WER at 10–15 dB") :]
    first_row = noisy[: noisy.index("</tr>")]
    assert (
        first_row.index("0.0\u00a0%")
        < first_row.index("PASS")
        < first_row.index("33.3\u00a0%")
        < first_row.index("FAIL")
    )
    assert "few utterances" in first_row
    assert "not measured" in shown[shown.index("A100") :]


def test_notes_of_the_scorer_are_shown_once_and_named_where_they_differ(tmp_path: Path) -> None:
    tuned, base = two_systems()
    tuned = replace(tuned, notes=["Both know this.", "Only tuned knows <this>."])
    base = replace(base, notes=["Both know this."])
    page = page_of(tmp_path, [tuned, base])
    assert page.count("Both know this.") == 1
    assert "tuned: Only tuned knows &lt;this&gt;." in page


def test_systems_of_different_sets_are_not_subtracted(tmp_path: Path) -> None:
    tuned, base = two_systems()
    assert "tuned − base" in page_of(tmp_path, [tuned, base])
    page = page_of(tmp_path, [tuned, score([row("u0", "saya nak beli dua buku lah", "x")], "base")])
    assert "tuned − base" not in page
    assert "base stands beside without differences. The audio ids of base and tuned do not match: 3" in page


def test_systems_are_compared_in_pairs(tmp_path: Path) -> None:
    page = page_of(tmp_path, two_systems())
    assert "Of 4 utterances tuned has fewer errors than base in 4, more in 0, as many in 0. MAPSSWE: " in page
    wer = page[page.index('id="measures"') :]
    assert '<span class="better" title="P(better) = 100.0 %">−33.3 ' in wer[: wer.index("</tr>", wer.index("WER"))]


def test_numbers_carry_intervals_and_missing_ones_say_so() -> None:
    assert "[11.0,\u00a013.9]" in value_with_interval(Value(0.123, 0.11, 0.139, 90))
    assert "interval" not in value_with_interval(Value(0.123, None, None, 90))
    assert "not measured" in value_with_interval(Value(None, None, None, 0))


@pytest.mark.parametrize(
    ("metric", "change", "text", "word"),
    [
        ("wer", -0.2, "−20.0", "better"),
        ("wer", 0.2, "+20.0", "worse"),
        ("particle_f1", 0.5, "+50.0", "better"),
        ("rtf", -0.012, "−0.012", "better"),
    ],
)
def test_differences_know_which_way_is_better(metric: str, change: float, text: str, word: str) -> None:
    sure = Difference(0.4, 0.4 + change, change, change - 0.01, change + 0.01, 0.99, True)
    built = str(difference(sure, METRICS[metric]))
    assert text in built
    assert f'class="{word}"' in built
    unsure = str(difference(replace(sure, significant=False), METRICS[metric]))
    assert text in unsure
    assert word not in unsure.replace("P(better)", "")


def test_a_sure_difference_that_is_written_as_0_has_no_colour() -> None:
    built = str(difference(Difference(0.03, 0.03006, 6e-5, 5e-5, 7e-5, 0.0, True), METRICS["rtf"]))
    assert "+0.000" in built
    assert "e-05" not in built
    assert 'class="worse"' not in built


def test_parts_with_few_utterances_are_marked_and_left_out_parts_counted() -> None:
    rows = [row(f"u{n}-{k}", "buku lah", "buku", speaker_id=f"s{n:02}") for n in range(45) for k in range(1 + (n < 40))]
    shown = str(slices_section([score(rows)]))
    assert "2*" in shown
    assert "Speaker (45)" in shown
    assert "5 more parts" in shown
    assert "s39" in shown
    assert "s44" not in shown


def test_a_switch_score_where_nobody_switched_is_not_measured(tmp_path: Path) -> None:
    rows = [
        row("a", "saya makan nasi", "saya makan rice", language="ms"),
        row("b", "dia pergi", "dia pergi", language="x"),
    ]
    scores = score(rows)
    malay = scores.slices["language"]["ms"]
    assert malay.metrics["switch_f1"].value is None
    assert malay.metrics["switch_precision"].value == 0
    assert malay.counts["switches_heard"] == 1
    shown = str(slices_section([scores]))
    malay_row = shown[shown.index(">Malay<") :].split("</tr>", maxsplit=1)[0]
    assert malay_row.count('<td class="none">not measured</td>') == 2  # Switch F1 and particle recall.
    write_markdown_report(tmp_path / "report.md", [scores], title="t", date="d")
    line = next(line for line in (tmp_path / "report.md").read_text().splitlines() if line.startswith("| ms |"))
    assert line.count("not measured") == 2
    table = slice_table(scores, "language")
    assert next(iter(table.columns[5].cells)) == "not measured"


def test_one_system_without_noise_log_or_particles(tmp_path: Path) -> None:
    page = page_of(tmp_path, [score([row("a", "buku", "buku")])])
    assert 'id="noise"' not in page
    assert "No log of a training run was given." in page
    assert "No particles were said or heard" in page


def test_bad_places_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one system"):
        write_report(tmp_path, [])
    with pytest.raises(InputError, match="does not exist"):
        write_report(tmp_path / "missing", two_systems())


# --- the error browser ---


def test_a_row_holds_the_alignment_and_what_went_wrong(tmp_path: Path) -> None:
    tuned = score(
        [row("a", "Saya nak 水 panas lah", "saya 水 panas mah mah", language="mixed", speaker_id="s", duration=2.0)]
    )
    base = score([row("a", "Saya nak 水 panas lah", "Saya nak 水 panas lah")], "base")
    found = data_of(page_of(tmp_path, [tuned, base]))
    assert found["head"]["systems"] == ["tuned", "base"]
    (only,) = found["rows"]
    assert (only["w"], only["l"], only["raw"]) == (
        ["saya", "nak", "水", "panas", "lah"],
        "mmzmp",
        "Saya nak 水 panas lah",
    )
    assert only["about"] == "mixed · s · 2.0 s"
    mine, other = only["s"]
    assert (mine["o"], mine["h"], mine["e"]) == ("=D==SI", ["saya", "水", "panas", "mah", "mah"], 3)
    assert mine["p"] == mine["pw"] == ["lah", "mah"]
    assert (other["o"], other["e"], other["p"]) == ("=====", 0, ["lah"])
    assert "pw" not in other


def test_utterances_come_worst_first() -> None:
    rows = [
        row("good", "satu dua", "satu dua"),
        row("half", "satu dua", "satu"),
        row("silence", "", "thank you for watching"),
        row("longer half", "satu dua tiga empat", "satu dua"),
    ]
    scores = score(rows)
    order = [scores.utterances[index].prediction.audio_id for index in browser.worst_first(scores.utterances)]
    assert order == ["silence", "longer half", "half", "good"]


def test_a_system_with_another_reference_is_not_shown_beside(tmp_path: Path) -> None:
    tuned = score([row("a", "satu dua", "satu"), row("b", "tiga", "tiga")])
    base = score([row("a", "satu tiga", "satu"), row("b", "tiga", "empat")], "base")
    page = page_of(tmp_path, [tuned, base])
    assert [found["s"][1] is None for found in data_of(page)["rows"]] == [True, False]
    assert "Utterances without a row of a compared system, or with another reference there: 1." in page


def test_a_large_set_keeps_its_worst_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "MAX_ROWS_BYTES", 2000)
    rows = [row(f"u{n:03}", "satu dua tiga", "satu dua tiga" if n else "empat") for n in range(100)]
    page = page_of(tmp_path, [score(rows)])
    found = data_of(page)
    assert found["head"]["total"] == 100
    assert 0 < len(found["rows"]) < 30
    assert found["rows"][0]["id"] == "u000"
    assert f"the worst {len(found['rows'])} of 100 utterances" in page


def test_endless_hypotheses_are_cut_and_counted(tmp_path: Path) -> None:
    found = data_of(page_of(tmp_path, [score([row("a", "satu dua", "satu " + "ya " * 50_000)])]))
    (only,) = found["rows"]
    system = only["s"][0]
    assert len(system["o"]) == browser.MAX_COLUMNS
    assert system["cut"] == 50_001 - browser.MAX_COLUMNS
    assert len(system["h"]) == len(system["o"]) - system["o"].count("D")
    assert len(system["raw"]) == browser.MAX_RAW


# --- sound ---


def tone(seconds: float) -> np.ndarray:
    return (np.sin(np.arange(int(16_000 * seconds)) / 10) * np.linspace(0, 0.5, int(16_000 * seconds))).astype(
        np.float32
    )


def test_clips_are_small_and_whole() -> None:
    clips = sound.embed_clips(["a"], lambda _: tone(2.0)).clips
    data = base64.b64decode(clips["a"]["mp3"])
    assert len(data) < 15_000
    assert decode_audio(data, name="clip").duration_s == pytest.approx(2.0, abs=0.15)
    assert clips["a"]["s"] == 2.0
    peaks = clips["a"]["peaks"]
    assert len(peaks) == sound.NUM_PEAKS
    assert peaks[-1] == 100
    assert peaks == sorted(peaks)


def test_silence_and_shortest_clips_have_an_outline() -> None:
    assert sound.outline(np.zeros(1000, np.float32)) == [0] * sound.NUM_PEAKS
    assert max(sound.outline(tone(1.0)[-3:])) == 100


def test_sound_that_cannot_be_had_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(audio_id: str) -> np.ndarray | None:
        if audio_id == "u0":
            raise AudioError("u0: the file is empty.")
        return None if audio_id == "u1" else tone(1.0)

    page = page_of(tmp_path, two_systems(), read_audio=read)
    assert "Utterances whose sound could not be read: 2." in page
    assert set(data_of(page, "clips")) == {"u2", "u3"}
    monkeypatch.setattr(sound, "MAX_BYTES", 10_000)
    page = page_of(tmp_path, two_systems(), read_audio=read)
    assert len(data_of(page, "clips")) == 1
    assert "Utterances whose sound did not fit in the page: 1." in page
    assert data_of(page_of(tmp_path, two_systems()), "clips") == {}


def test_at_most_so_many_clips() -> None:
    clips = sound.embed_clips([f"u{n}" for n in range(99)], lambda _: tone(0.1))
    assert list(clips.clips) == [f"u{n}" for n in range(sound.MAX_CLIPS)]


# --- Markdown ---


def test_markdown_holds_the_main_tables(tmp_path: Path) -> None:
    systems = two_systems()
    write_report(tmp_path, systems, title="A | title", date="2031-02-03")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# A \\| title\n")
    for heading in ("## Targets", "## Measures", "## Added noise (SNR)", "## Speaker", "## Particles", "## Notes"):
        assert heading in text
    assert "| WER at 10–15 dB | < 20.0 % |" in text
    assert re.search(r"\| lah \| 4 \| 100\.0 % \| 100\.0 % \| 0\.0 % \| not measured \|", text)
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_the_tagger_is_drawn_by_how_sure_it_is() -> None:
    agreement = TaggerAgreement(4, 0.75, {"ms": {"ms": 3, "en": 1}}, reliability([(0.55, False), (0.99, True)]))
    scores = score([row("a", "saya makan", "saya makan")])
    shown = str(languages_section([replace(scores, tagger=agreement)]))
    assert "Words tagged right" in shown
    assert "tagger, 99" in shown
    one = replace(agreement, reliability=agreement.reliability[:1])
    assert "Words tagged right" not in str(languages_section([replace(scores, tagger=one)]))
