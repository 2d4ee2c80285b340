"""Build the page of `rojak inspect`: one file, no scripts, nothing outside it."""

import base64
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from string import Template

from rojak.audio import Samples
from rojak.data.checks import REASONS
from rojak.evaluate.inspect.drawing import coloured, counts_table, draw_histogram, shares_table
from rojak.evaluate.inspect.sound import RefusedClip
from rojak.evaluate.inspect.survey import Survey, SuspiciousClip
from rojak.evaluate.inspect.suspicion import SUSPICIONS
from rojak.evaluate.report.breakdown import LANGUAGE_TITLES
from rojak.evaluate.report.figures import row, table
from rojak.evaluate.report.html import Child, Html, document, element, escape, join, section_bodies, section_links
from rojak.evaluate.report.sound import encode_mp3
from rojak.records import Word
from rojak.text.language import tag_words

MAX_REFUSED = 60
MAX_SUSPICIOUS = 60
MAX_PLAYERS = 24
"""Of each of the two lists."""
MAX_PLAYER_BYTES = 2_500_000
"""Of each list's sound as it stands in the page."""
MAX_TEXT = 400
MAX_ROWS = 25

HISTOGRAMS = {
    "duration_s": ("Duration", "seconds"),
    "snr_db": ("Speech-to-noise ratio, given or estimated", "dB"),
    "syllables_per_s": ("Speaking rate", "syllables a second"),
    "tokens": ("Label tokens", "tokens"),
}
SHARES = {
    "language": "Language",
    "split": "Split",
    "quality_score": "Quality",
    "source": "Source",
    "domain": "Domain",
    "accent": "Accent",
    "speaker_id": "Speaker",
}
ReadAudio = Callable[[str], Samples | None]


def build_page(title: str, survey: Survey, refused: Sequence[RefusedClip], read_audio: ReadAudio) -> str:
    """Fill the template: suspicious clips first, then what the data holds.

    Args:
        title: Heading.
        survey: What the data holds.
        refused: Refused clips to show, with their sound where the corpus is at hand.
        read_audio: Sound of a prepared clip.
    """
    sections = [
        ("refused", "Refused clips", _refused_section(survey, refused)),
        ("suspicious", "Suspicious clips", _suspicious_section(survey, read_audio)),
        ("hours", "Hours", _hours_section(survey)),
        ("histograms", "Histograms", _histogram_section(survey)),
        ("switching", "Particles and switches", _switching_section(survey)),
    ]
    report = files("rojak.evaluate.report") / "resources"
    own = files("rojak.evaluate.inspect") / "resources"
    template = Template((own / "inspect.html").read_text(encoding="utf-8"))
    styles = [folder.read_text(encoding="utf-8") for folder in (report / "report.css", own / "inspect.css")]
    body = template.substitute(
        title=escape(title),
        verdict=escape(_verdict(survey)),
        notes=element("ul", *(element("li", note) for note in survey.notes), class_="notes") if survey.notes else "",
        contents=section_links(sections),
        sections=section_bodies(sections),
    )
    return document(title, body, style="\n".join(styles), allowed="media-src data:")


def _verdict(survey: Survey) -> str:
    speakers = [name for name in survey.shares.get("speaker_id", {}) if name != "not given"]
    refused, suspicious = len(survey.refusals), len(survey.suspicious)
    return (
        f"{survey.hours:.2f} hours in {survey.clips:,} clips of {len(speakers):,} speakers; "
        f"{refused:,} clips were refused and {suspicious:,} of the others are worth hearing."
    )


def _refused_section(survey: Survey, refused: Sequence[RefusedClip]) -> Html:
    if not survey.refusals:
        return element("p", "None: every clip of the corpus passed every check.", class_="none")
    counts = survey.stats.get("refused", {})
    rows = [row(_name(reason), f"{count:,}", _left(REASONS.get(reason, ""))) for reason, count in counts.items()]
    parts: list[Child] = [table(["Reason", "Clips", ""], rows, caption="Refused, by reason", show_caption=False)]
    if any(clip.text for clip in refused):
        parts.append(_key())
    players = _Players()
    for clip in refused:
        reason = element("span", clip.refusal.reason, class_="flag")
        sound = players.of(clip.read_audio) if clip.item else None
        text = _short(clip.text)
        words = [Word(word=tagged.word, language=tagged.language) for tagged in tag_words(text)]
        parts.append(_entry(clip.refusal.audio_id, [reason], [clip.refusal.detail], coloured(text, words), sound))
    parts.append(_left_out(len(survey.refusals) - len(refused), "quarantine.jsonl"))
    if refused and all(clip.item is None for clip in refused):
        hint = "To read and hear them here, name the corpus: rojak inspect DATA --source CORPUS."
        parts.append(element("p", hint, class_="small"))
    return join(parts)


def _suspicious_section(survey: Survey, read_audio: ReadAudio) -> Html:
    if not survey.suspicious:
        return element("p", "None.", class_="none")
    kinds: dict[str, int] = {}
    for clip in survey.suspicious:
        for one in clip.suspicions:
            kinds[one.reason] = kinds.get(one.reason, 0) + 1
    rows = [row(_name(reason), f"{count:,}", _left(SUSPICIONS[reason])) for reason, count in kinds.items()]
    parts: list[Child] = [
        element("p", "They passed every check and are in the data. Listen before you trust them.", class_="small"),
        table(["Suspicion", "Clips", ""], rows, caption="Suspicions", show_caption=False),
        _key(),
    ]
    players = _Players()
    for clip in survey.suspicious[:MAX_SUSPICIOUS]:
        parts.append(_suspicious_entry(clip, players, read_audio))
    parts.append(_left_out(len(survey.suspicious) - MAX_SUSPICIOUS, "the output of rojak inspect --json"))
    return join(parts)


def _suspicious_entry(clip: SuspiciousClip, players: "_Players", read_audio: ReadAudio) -> Html:
    record = clip.record
    flags = [element("span", one.reason, class_="flag") for one in clip.suspicions]
    about = [part for part in (record.split, record.language, record.speaker_id, record.source) if part]
    details = [one.detail for one in clip.suspicions]
    sound = players.of(lambda: read_audio(record.audio_id))
    text = coloured(_short(record.text), record.words)
    return _entry(record.audio_id, flags, details, text, sound, f"{record.duration:.1f} s, {', '.join(about)}")


def _entry(
    audio_id: str, flags: Iterable[Html], details: Iterable[str], text: Html, sound: Html | None, about: str = ""
) -> Html:
    head = element("header", element("b", audio_id), *flags, element("span", about) if about else None)
    return element("div", head, element("p", " ".join(details), class_="why"), text, sound, class_="utt")


class _Players:
    """Embeds sound as long as there is room."""

    def __init__(self) -> None:
        self._left = MAX_PLAYERS
        self._bytes_left = MAX_PLAYER_BYTES

    def of(self, read: Callable[[], Samples | None]) -> Html | None:
        """Give a player, or None when the room is used up or there is no sound."""
        if not self._left:
            return None
        samples = read()
        if samples is None or not len(samples):
            return None
        data = base64.b64encode(encode_mp3(samples)).decode("ascii")
        if len(data) > self._bytes_left:
            return None
        self._left -= 1
        self._bytes_left -= len(data)
        return element("audio", controls=True, preload="metadata", src=f"data:audio/mpeg;base64,{data}")


def _name(reason: str) -> Html:
    """Let a long name break after its underscores and nowhere else."""
    first, *rest = reason.split("_")
    return join([first, *(part for word in rest for part in ("_", element("wbr"), word))])


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _left(text: str) -> Html:
    return element("td", text, class_="left")


def _left_out(count: int, where: str) -> Html | None:
    return element("p", f"{count:,} more are in {where}.", class_="small") if count > 0 else None


def _key() -> Html:
    kinds = (
        ("ms", "Malay"),
        ("en", "English"),
        ("zh", "Mandarin"),
        ("ta", "Tamil"),
        ("pt", "particle"),
        ("ot", "other"),
    )
    return element(
        "p", *(part for kind, name in kinds for part in (element("span", name, class_=kind), " ")), class_="key"
    )


def _hours_section(survey: Survey) -> Html:
    tables, same = [], []
    for name, title in SHARES.items():
        parts = survey.shares.get(name, {})
        if len(parts) == 1:
            same.append(f"{title.lower()} {next(iter(parts))}")
        elif parts:
            tables.append(shares_table(title, parts, MAX_ROWS, LANGUAGE_TITLES if name == "language" else {}))
    note = element("p", f"The same for every clip: {'; '.join(same)}.", class_="small") if same else None
    return join([element("div", *tables, class_="tables"), note])


def _histogram_section(survey: Survey) -> Html:
    drawn = [draw_histogram(*HISTOGRAMS[name], found) for name, found in survey.histograms.items()]
    return element("div", *drawn, class_="panels")


def _switching_section(survey: Survey) -> Html:
    tables = []
    if survey.particles:
        tables.append(counts_table("Particle", survey.particles, MAX_ROWS))
    if survey.switch_pairs:
        tables.append(counts_table("Switch", survey.switch_pairs, MAX_ROWS))
    if not tables:
        return element("p", "No particles and no switches between languages.", class_="none")
    return element("div", *tables, class_="tables")
