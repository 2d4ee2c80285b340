"""The report in a real browser: drawn, sorted, filtered, played, at two widths. Skipped without Chromium."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
import pytest

from rojak.evaluate.prediction import Prediction
from rojak.evaluate.report import write_report
from rojak.evaluate.results import Scores
from rojak.evaluate.score import ScoreOptions, score_predictions

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome on PATH to look at the report")

EVIL = '</script><img src=x onerror="document.title=1"><script>document.title=2</script>'

# Drives the report in a frame of the wanted width and posts what it sees.
HARNESS = """<!doctype html><body><iframe id="frame" style="border:0;height:900px"></iframe><script>
const frame = document.getElementById("frame");
const seen = { errors: [] };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
async function drive(width) {
  frame.style.width = `${width}px`;
  await new Promise((done) => { frame.onload = done; frame.src = `report.html?${width}`; });
  const page = frame.contentDocument, view = frame.contentWindow;
  view.addEventListener("error", (event) => seen.errors.push(event.message));
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  await pause(100);
  seen[`overflow ${width}`] = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  return { page, view };
}
async function main() {
  await drive(1280);
  const { page, view } = await drive(390);
  const all = (selector, inside = page) => [...inside.querySelectorAll(selector)];
  const ids = () => all(".utt header b").map((one) => one.textContent);
  const set = async (name, value) => {
    page.getElementById(name).value = value;
    page.getElementById(name).dispatchEvent(new view.Event("input", { bubbles: true }));
    await pause(20);
  };
  const chosen = async (name, value) => { await set(name, value); const found = ids(); await clear(); return found; };
  const clear = async () => { page.getElementById("clear").click(); await pause(50); };
  seen.title = page.title;
  seen.images = page.querySelectorAll("img").length;
  seen.worst = ids();
  seen.status = page.getElementById("found").textContent;
  seen.byId = await chosen("order", "id");
  seen.worse = await chosen("versus", "worse1");
  seen.repeat = await chosen("kind", "repeat");
  seen.tamil = await chosen("language", "t");
  seen.lor = await chosen("particle", "lor");
  seen.text = await chosen("find", "PASAR");
  seen.heard = await chosen("find", "onerror");
  await set("kind", "particle");
  seen.lahWrong = await chosen("particle", "lah");
  seen.slice = await chosen("slice", all("#slice option").find((one) => one.textContent === "s2").value);
  seen.cleared = ids();
  page.querySelector('[data-jump="particle/lor"] button').click();
  seen.jumped = ids();
  await clear();
  const utterance = (id) => all(".utt").find((one) => one.querySelector("b").textContent === id);
  const columns = all(".col", utterance("mixed"));
  seen.columns = columns.map((column) => [...column.children].map((word) => word.textContent.trim()));
  const classes = (column, row) => [...columns[column].children[row].classList];
  seen.classes = [classes(0, 0), classes(1, 1), classes(2, 2)];
  const loop = utterance("loop");
  seen.folded = loop.querySelectorAll(".col").length;
  loop.querySelector(".rest").click();
  seen.unfolded = loop.querySelectorAll(".col").length;
  seen.players = page.querySelectorAll(".player").length;
  const button = page.querySelector(".player button");
  button.click();
  for (let wait = 0; wait < 100 && !(page.querySelector(".player input").value > 0.05); wait++) await pause(50);
  seen.playing = button.getAttribute("aria-label");
  seen.position = Number(page.querySelector(".player input").value);
  button.click();
  await pause(100);
  seen.stopped = button.getAttribute("aria-label");
}
main().catch((error) => seen.errors.push(String(error))).finally(() =>
  fetch("/seen", { method: "POST", body: JSON.stringify(seen) }));
</script>"""


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, "Queue[dict[str, Any]]"]]:
    """Serve the harness and the report on this machine, and collect what the harness posts."""
    posted: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = (folder / "report.html").read_bytes() if self.path.startswith("/report") else HARNESS.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", posted
    finally:
        server.shutdown()
        server.server_close()


def row(audio_id: str, reference: str, hypothesis: str, speaker_id: str) -> Prediction:
    return Prediction(
        audio_id=audio_id, reference=reference, hypothesis=hypothesis, speaker_id=speaker_id, duration=1.0, decode_s=0.1
    )


def systems() -> list[Scores]:
    tuned = [
        row("loop", "pasar malam", "pasar malam " * 12, "s1"),
        row("evil", "terima kasih banyak ya kawan kawan semua", EVIL, "s1"),
        row("mixed", "saya nak beli lah", "saya beli mah", "s2"),
        row("good", "boleh lor", "boleh lor", "s2"),
        row("tamil", "நான் போறேன் lah", "நான் போறேன் lah", "s1"),
    ]
    base = [row(one.audio_id, one.reference, one.reference, one.speaker_id or "") for one in tuned]
    base[2] = row("mixed", "saya nak beli lah", "saya nak pula beli lah", "s2")
    return [
        score_predictions(rows, ScoreOptions(resamples=50, system=name))
        for name, rows in (("tuned", tuned), ("base", base))
    ]


def sound(audio_id: str) -> np.ndarray | None:
    return np.sin(np.arange(48_000) / 10).astype(np.float32) / 4 if audio_id == "loop" else None


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, systems(), title=f"Report {EVIL}", read_audio=sound)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    flags += [f"--user-data-dir={folder / 'profile'}", "--no-first-run"]
    with serve(folder) as (address, posted):
        browser = subprocess.Popen(
            [str(BROWSER), *flags, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            found = posted.get(timeout=90)
        except Empty:
            pytest.fail("the browser told nothing within 90 seconds")
        finally:
            browser.terminate()
            browser.wait(timeout=20)
    assert found["errors"] == []
    return found


def test_no_page_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert seen["overflow 1280"] == 0
    assert seen["overflow 390"] == 0


def test_text_of_others_stays_text(seen: dict[str, Any]) -> None:
    assert seen["title"] == f"Report {EVIL}"
    assert seen["images"] == 0
    assert seen["heard"] == ["evil"]


def test_sorts_and_filters(seen: dict[str, Any]) -> None:
    assert seen["worst"] == ["loop", "evil", "mixed", "good", "tamil"]
    assert seen["status"] == "5 of 5 utterances"
    assert seen["byId"] == ["evil", "good", "loop", "mixed", "tamil"]
    assert seen["worse"] == ["loop", "evil", "mixed"]
    assert seen["repeat"] == ["loop"]
    assert seen["tamil"] == ["tamil"]
    assert seen["lor"] == seen["jumped"] == ["good"]
    assert seen["text"] == ["loop"]
    assert seen["lahWrong"] == ["mixed"]
    assert seen["slice"] == ["mixed", "good"]
    assert seen["cleared"] == seen["worst"]


def test_words_of_systems_stand_under_those_said(seen: dict[str, Any]) -> None:
    assert seen["columns"] == [
        ["saya", "saya", "saya"],
        ["nak", "–", "nak"],
        ["", "", "pula"],
        ["beli", "beli", "beli"],
        ["lah", "mah", "lah"],
    ]
    assert seen["classes"] == [["w", "ms", "said"], ["w", "del"], ["w", "ms", "ins"]]


def test_long_runs_of_insertions_unfold(seen: dict[str, Any]) -> None:
    assert seen["folded"] == 2 + 10
    assert seen["unfolded"] == 2 + 22


def test_plays(seen: dict[str, Any]) -> None:
    assert seen["players"] == 1
    assert seen["playing"] == "Pause loop"
    assert seen["position"] > 0.05
    assert seen["stopped"] == "Play loop"
