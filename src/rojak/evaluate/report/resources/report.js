"use strict";
/* Draws the error browser from the JSON in the page. All text reaches the page through textContent. */
(() => {
  const PAGE = 20;
  const FOLD = 10;
  const LANGUAGES = { m: "ms", e: "en", z: "zh", t: "ta", p: "pt", o: "ot" };
  const LANGUAGE_NAMES = { m: "Malay", e: "English", z: "Mandarin", t: "Tamil", p: "particles" };
  const byId = (id) => document.getElementById(id);
  const { head, rows } = JSON.parse(byId("rows").textContent);
  const clips = JSON.parse(byId("clips").textContent);
  const percent = (errors, words) => `${Math.round((100 * errors) / words)} %`;

  function make(name, className, ...children) {
    const node = document.createElement(name);
    if (className) node.className = className;
    node.append(...children);
    return node;
  }

  /* What the filters and orders say of a row `r` and the main system's part of it `s`. */
  const KINDS = {
    "": ["all utterances", () => true],
    wrong: ["with errors", (s) => s.e > 0],
    right: ["without errors", (s) => s.e === 0],
    sub: ["substituted words", (s) => s.o.includes("S")],
    del: ["deleted words", (s) => s.o.includes("D")],
    ins: ["inserted words", (s) => s.o.includes("I")],
    particle: ["particle wrong", (s) => Boolean(s.pw)],
    language: ["language wrong", (s) => Boolean(s.lw)],
    switch: ["switch missed", (s) => Boolean(s.sw)],
    runaway: ["runaway (WER over 100 %)", (s) => has(s, "runaway")],
    repeat: ["repeats itself", (s) => has(s, "repeat")],
    empty: ["heard nothing", (s) => has(s, "empty")],
    nonspeech: ["clip without speech", (s) => has(s, "nonspeech")],
    sound: ["with sound", (s, r) => r.id in clips],
  };
  const has = (s, flag) => Boolean(s.f && s.f.includes(flag));
  const gain = (r, n) => (r.s[n] ? (r.s[0].e - r.s[n].e) / Math.max(1, r.n) : 0);
  const ORDERS = {
    wer: ["worst WER first", null],
    errors: ["most errors first", (a, b) => b.s[0].e - a.s[0].e],
    best: ["best WER first", (a, b) => a.s[0].e / Math.max(1, a.n) - b.s[0].e / Math.max(1, b.n)],
    longest: ["longest first", (a, b) => (b.d || 0) - (a.d || 0)],
    id: ["by id", (a, b) => (a.id < b.id ? -1 : 1)],
  };
  const VERSUS = { "": ["any", () => true] };
  head.systems.slice(1).forEach((name, k) => {
    const n = k + 1;
    VERSUS[`worse${n}`] = [`worse than ${name}`, (r) => gain(r, n) > 0];
    VERSUS[`better${n}`] = [`better than ${name}`, (r) => gain(r, n) < 0];
    ORDERS[`worse${n}`] = [`most worse than ${name}`, (a, b) => gain(b, n) - gain(a, n)];
    ORDERS[`better${n}`] = [`most better than ${name}`, (a, b) => gain(a, n) - gain(b, n)];
  });

  function option(value, text) {
    const node = make("option", "", text);
    node.value = value;
    return node;
  }

  function fillControls() {
    for (const [id, choices] of [["kind", KINDS], ["order", ORDERS], ["versus", VERSUS]]) {
      byId(id).append(...Object.entries(choices).map(([value, [text]]) => option(value, text)));
    }
    byId("language").append(option("", "any"), ...Object.entries(LANGUAGE_NAMES).map(([v, text]) => option(v, text)));
    byId("particle").append(option("", "any"), ...head.particles.map((form) => option(form, form)));
    byId("slice").append(option("", "all"));
    for (const [slicing, parts] of Object.entries(head.slicings)) {
      const group = make("optgroup", "");
      group.label = head.titles[slicing];
      group.append(...parts.map((part, n) => option(`${slicing}/${n}`, part)));
      byId("slice").append(group);
    }
    byId("versus-label").hidden = head.systems.length < 2;
    byId("controls").hidden = byId("key").hidden = false;
  }

  const haystacks = new Map();
  function haystack(r) {
    if (!haystacks.has(r)) {
      const texts = [r.id, r.raw, r.w.join(" "), ...r.s.filter(Boolean).flatMap((s) => [s.raw, s.h.join(" ")])];
      haystacks.set(r, texts.join("\n").normalize("NFC").toLowerCase());
    }
    return haystacks.get(r);
  }

  function choose() {
    const value = (id) => byId(id).value;
    const find = value("find").trim().normalize("NFC").toLowerCase();
    const [kind, versus] = [value("kind"), VERSUS[value("versus")][1]];
    const [language, particle, slice] = [value("language"), value("particle"), value("slice")];
    const cut = slice.lastIndexOf("/");
    const [slicing, part] = [slice.slice(0, cut), Number(slice.slice(cut + 1))];
    const chosen = rows.filter((r) => {
      const s = r.s[0];
      if (!KINDS[kind][1](s, r) || !versus(r)) return false;
      if (language && !r.l.includes(language)) return false;
      if (particle && !((kind === "particle" ? s.pw : s.p) || []).includes(particle)) return false;
      if (slice && r.x[slicing] !== part) return false;
      return !find || haystack(r).includes(find);
    });
    const compare = ORDERS[value("order")][1];
    return compare ? chosen.sort(compare) : chosen;
  }

  /* One column a reference word, and one for every place where a system inserted something. */
  function alignColumns(r) {
    const systems = r.s.map((s) => {
      const words = [], gaps = [[]];
      let h = 0;
      for (const op of s ? s.o : "") {
        const heard = op === "D" ? null : { text: s.h[h], language: s.l[h++] };
        if (op === "I") gaps[gaps.length - 1].push(heard);
        else { words.push({ op, heard }); gaps.push([]); }
      }
      return { words, gaps };
    });
    const columns = [];
    for (let i = 0; i <= r.w.length; i++) {
      const slots = Math.max(0, ...systems.map((one) => (one.gaps[i] || []).length));
      for (let k = 0; k < slots; k++) {
        columns.push({ said: null, heard: systems.map((one) => {
          const word = (one.gaps[i] || [])[k];
          return word ? { op: "I", heard: word } : null;
        }) });
      }
      if (i < r.w.length) {
        columns.push({ said: { text: r.w[i], language: r.l[i] }, heard: systems.map((one) => one.words[i] || null) });
      }
    }
    return columns;
  }

  const CLASS_OF_OP = { "=": "same", S: "sub", D: "del", I: "ins" };
  function word(found, extra) {
    if (!found) return make("span", "w", "\u00a0");
    const node = make("span", `w ${LANGUAGES[found.language]} ${extra}${found.text.length > 24 ? " long" : ""}`, found.text);
    if (found.language === "z" || found.language === "t") node.lang = LANGUAGES[found.language];
    return node;
  }

  function drawColumn(column) {
    const cells = column.heard.map((one) => {
      if (!one) return word(null);
      if (one.op === "D") return make("span", "w del", "–");
      return word(one.heard, CLASS_OF_OP[one.op]);
    });
    return make("span", "col", word(column.said, "said"), ...cells);
  }

  /* A long run of inserted words shows its beginning, and the rest on demand. */
  function fold(columns) {
    const hidden = columns.slice(FOLD);
    const button = make("button", "rest", `+ ${hidden.length} more inserted`);
    button.type = "button";
    button.addEventListener("click", () => button.replaceWith(...hidden.map(drawColumn)));
    return [...columns.slice(0, FOLD).map(drawColumn), button];
  }

  function gloss(r) {
    const names = make("div", "names", ...["said", ...head.systems].map((name) => make("span", "", name)));
    const cols = make("div", r.l.includes("z") ? "cols dense" : "cols");
    const columns = alignColumns(r);
    for (let start = 0, end = 0; start < columns.length; start = end) {
      end = start + 1;
      while (!columns[start].said && end < columns.length && !columns[end].said) end++;
      const run = columns.slice(start, end);
      cols.append(...(run.length > FOLD + 4 ? fold(run) : run.map(drawColumn)));
    }
    const cut = Math.max(0, r.n - r.w.length, ...r.s.map((s) => (s && s.cut) || 0));
    if (cut) cols.append(make("span", "w ot", `… and ${cut} more`));
    const node = make("div", "gloss", names, cols);
    return node;
  }

  function score(r, s, n) {
    if (!s) return make("span", "score", `${head.systems[n]}: no row`);
    const figure = r.n ? percent(s.e, r.n) : `${s.e} words heard`;
    return make("span", "score", `${head.systems[n]} `, make("i", "", figure), r.n ? ` ${s.e}/${r.n}` : "");
  }

  function written(r) {
    const list = make("dl", "", make("dt", "", "said"), make("dd", "", r.raw || "(no speech)"));
    r.s.forEach((s, n) => list.append(make("dt", "", head.systems[n]), make("dd", "", s ? s.raw || "(nothing)" : "–")));
    return make("details", "raw", make("summary", "", "as written"), list);
  }

  let playing = null;
  function wave(peaks) {
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("viewBox", `0 0 ${peaks.length * 3} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(ns, "path");
    path.setAttribute("d", peaks.map((p, n) => `M${n * 3} ${50 - Math.max(p, 3) / 2}h2v${Math.max(p, 3)}h-2z`).join(""));
    svg.append(path);
    return svg;
  }

  function player(r) {
    const clip = clips[r.id];
    const button = make("button", "", "▶");
    button.type = "button";
    button.setAttribute("aria-label", `Play ${r.id}`);
    const seek = make("input", "");
    Object.assign(seek, { type: "range", min: 0, max: clip.s, step: 0.01, value: 0 });
    seek.setAttribute("aria-label", "Position in seconds");
    const played = make("div", "played", wave(clip.peaks));
    const box = make("div", "wave", wave(clip.peaks), played, seek);
    const time = make("span", "", `${clip.s.toFixed(1)} s`);
    let audio = null;
    const show = () => {
      seek.value = audio.currentTime;
      played.style.setProperty("--at", `${(100 * audio.currentTime) / clip.s}%`);
      if (!audio.paused) requestAnimationFrame(show);
    };
    const load = () => {
      if (audio) return;
      const bytes = Uint8Array.from(atob(clip.mp3), (c) => c.charCodeAt(0));
      audio = new Audio(URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" })));
      audio.addEventListener("play", () => { button.textContent = "❚❚"; button.setAttribute("aria-label", `Pause ${r.id}`); show(); });
      for (const end of ["pause", "ended"]) {
        audio.addEventListener(end, () => { button.textContent = "▶"; button.setAttribute("aria-label", `Play ${r.id}`); });
      }
      audio.addEventListener("error", () => { time.textContent = "cannot be played here"; });
    };
    button.addEventListener("click", () => {
      load();
      if (!audio.paused) { audio.pause(); return; }
      if (playing && playing !== audio) playing.pause();
      playing = audio;
      audio.play().catch(() => { time.textContent = "cannot be played here"; });
    });
    seek.addEventListener("input", () => { load(); audio.currentTime = Number(seek.value); show(); });
    return make("div", "player", button, box, time);
  }

  function utterance(r) {
    const flags = r.s.flatMap((s, n) => ((s && s.f) || []).map((flag) => make("span", "flag", n ? `${head.systems[n]}: ${flag}` : flag)));
    const top = make("header", "", make("b", "", r.id), make("span", "", r.about), ...r.s.map((s, n) => score(r, s, n)), ...flags);
    const plain = make("p", "hidden", `Said: ${r.raw || "nothing"}. `, ...r.s.map((s, n) => `${head.systems[n]} heard: ${(s && s.raw) || "nothing"}. `));
    const node = make("article", "utt", top, plain, gloss(r));
    if (r.id in clips) node.append(player(r));
    node.append(written(r));
    return node;
  }

  let chosen = [], shown = 0;
  function showMore() {
    const next = chosen.slice(shown, shown + PAGE);
    byId("list").append(...next.map(utterance));
    shown += next.length;
    byId("more").hidden = shown >= chosen.length;
    byId("more").textContent = `Show ${Math.min(PAGE, chosen.length - shown)} more`;
  }
  function update() {
    if (playing) playing.pause();
    chosen = choose();
    shown = 0;
    byId("list").replaceChildren();
    const all = rows.length < head.total ? `the worst ${rows.length.toLocaleString("en")} of ${head.total.toLocaleString("en")}` : `${rows.length.toLocaleString("en")}`;
    byId("found").textContent = `${chosen.length.toLocaleString("en")} of ${all} utterances`;
    showMore();
  }

  /* Names in the tables lead to the utterances behind them. */
  function jumpTo(where) {
    const cut = where.indexOf("/");
    const [field, value] = [where.slice(0, cut), where.slice(cut + 1)];
    byId("controls").reset();
    if (field === "particle") byId("particle").value = value;
    else byId("slice").value = `${field}/${(head.slicings[field] || []).indexOf(value)}`;
    update();
    byId("utterances").scrollIntoView();
  }
  function linkTables() {
    for (const mark of document.querySelectorAll("[data-jump]")) {
      const button = make("button", "jump", mark.textContent);
      button.type = "button";
      button.title = "Show these utterances";
      button.addEventListener("click", () => jumpTo(mark.dataset.jump));
      mark.replaceChildren(button);
    }
  }

  fillControls();
  linkTables();
  byId("controls").addEventListener("input", update);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("reset", () => setTimeout(update));
  byId("more").addEventListener("click", showMore);
  addEventListener("beforeprint", () => document.querySelectorAll("main > section details").forEach((d) => { d.open = true; }));
  update();
})();
