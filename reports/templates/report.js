// The page's script: sorts tables, and shows every clip of a cell at one frame. No library, no network.
"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // ---- Tables: a click on a heading sorts the rows of each section; absent values stay last.
  function sortTable(heading) {
    const column = heading.cellIndex;
    const rising = heading.getAttribute("aria-sort") === "descending" || (column === 0 && !heading.hasAttribute("aria-sort"));
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const compare = (a, b) => {
      const [x, y] = [a, b].map((row) => row.cells[column].dataset.sort);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = column === 0 ? x.localeCompare(y, undefined, { numeric: true }) : Number(x) - Number(y);
      return rising ? order : -order;
    };
    for (const body of heading.closest("table").tBodies) {
      body.append(...all("tr:not(.heading)", body).sort(compare));
    }
  }
  for (const button of all(".sortable thead button")) {
    button.addEventListener("click", () => sortTable(button.closest("th")));
  }

  // ---- Clips: frame 0 and coded differences to it (or frames, where the motion is large). Decoded when a cell is opened, forgotten when it is left.
  const page = JSON.parse(find("#page-data").textContent);
  const SIZE = page.size;
  // Code 0..255 -> difference in grey levels: the inverse of reports/media.py.
  const DIFFERENCE = Float32Array.from({ length: 256 }, (_, code) =>
    page.knee * Math.sinh(((code - 128) / 127) * Math.asinh(255 / page.knee)));
  const tile = new OffscreenCanvas(SIZE, SIZE).getContext("2d", { willReadFrequently: true });

  function bitmap(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return createImageBitmap(new Blob([bytes], { type: "image/webp" }), { colorSpaceConversion: "none" });
  }
  function pixels(source, x, y) {
    tile.drawImage(source, x, y, SIZE, SIZE, 0, 0, SIZE, SIZE);
    return tile.getImageData(0, 0, SIZE, SIZE).data;
  }
  class Clip {
    constructor(number) {
      const coded = JSON.parse(find(`#media-${number}`).textContent);
      this.frames = coded.n;
      this.still = !coded.sheets.length;
      // Without a base the tiles are the frames themselves, and frame 0 is the first of them.
      this.whole = !coded.base;
      const parts = this.whole ? coded.sheets : [...coded.sheets, coded.base];
      this.ready = Promise.all(parts.map(bitmap)).then((sheets) => {
        this.base = pixels(sheets[this.whole ? 0 : sheets.length - 1], 0, 0).slice();
        this.sheets = sheets;
      });
    }
    // Differences of a frame to frame 0 in grey levels, RGBA, into `delta`.
    read(frame, delta) {
      if (this.still) { delta.fill(0); return; }
      const index = Math.min(frame, this.frames - 1);
      const place = index % page.perSheet;
      const sheet = this.sheets[Math.floor(index / page.perSheet)];
      const codes = pixels(sheet, (place % page.columns) * SIZE, Math.floor(place / page.columns) * SIZE);
      for (let i = 0; i < delta.length; i++) delta[i] = this.whole ? codes[i] - this.base[i] : DIFFERENCE[codes[i]];
    }
    release() {
      this.ready.then(() => this.sheets.forEach((sheet) => sheet.close()));
    }
  }

  const out = new ImageData(SIZE, SIZE);
  const delta = new Float32Array(out.data.length);
  function drawPicture(canvas, base) {
    for (let i = 0; i < base.length; i++) out.data[i] = i % 4 === 3 ? 255 : base[i] + delta[i];
    canvas.getContext("2d").putImageData(out, 0, 0);
  }
  function drawDifference(canvas, amplification) {
    for (let i = 0; i < delta.length; i += 4) {
      const luma = 0.299 * delta[i] + 0.587 * delta[i + 1] + 0.114 * delta[i + 2];
      out.data[i] = out.data[i + 1] = out.data[i + 2] = 128 + amplification * luma;
      out.data[i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(out, 0, 0);
  }

  // ---- One state for all players: cell, frame, whether the reader chose an amplification. `draw` puts it on the page.
  const state = { cell: -1, frame: 0, playing: false, amplified: false, clips: new Map() };
  const slider = find("#frame");
  const view = find("#view"), amplification = find("#amplification"), speed = find("#speed"), choose = find("#choose");
  const facts = () => page.cells[state.cell];
  const article = () => find(`#cell-${state.cell}`);

  function draw() {
    const { frames, fps, marks } = facts();
    for (const player of all(".player[data-media]", article())) {
      const clip = state.clips.get(player.dataset.media);
      if (!clip.base || !player.offsetParent) continue;
      clip.read(state.frame, delta);
      const [picture, difference] = all("canvas", player);
      if (view.value !== "difference") drawPicture(picture, clip.base);
      if (view.value !== "picture") drawDifference(difference, Number(amplification.value));
      player.dataset.frame = state.frame;
    }
    const curves = find("svg.curves", article());
    if (curves) {
      const steps = curves.dataset.steps.split(" ").map(Number);
      all(".cursor", curves).forEach((line, panel) => line.setAttribute("transform", `translate(${steps[panel] * state.frame} 0)`));
    }
    slider.value = state.frame;
    const names = Object.entries(marks).filter(([, at]) => at === state.frame).map(([name]) => ` ${name}`).join("");
    const time = fps ? ` · ${((1000 * state.frame) / fps).toFixed(0)} ms` : "";
    find("#where").value = `frame ${state.frame} of ${frames - 1}${time}${names}`;
  }
  function goTo(frame) {
    const last = facts().frames - 1;
    state.frame = Math.max(0, Math.min(frame, last));
    draw();
  }
  async function open(cell) {
    if (cell === state.cell) return;
    article()?.classList.remove("shown");
    state.cell = cell;
    article().classList.add("shown");
    const { name, frames, first, marks, amplification: fitting } = facts();
    if (!state.amplified) amplification.value = fitting;
    const wanted = new Set(all(".player[data-media]", article()).map((player) => player.dataset.media));
    for (const [number, clip] of state.clips) if (!wanted.has(number)) { clip.release(); state.clips.delete(number); }
    for (const number of wanted) if (!state.clips.has(number)) state.clips.set(number, new Clip(number));
    choose.value = cell;
    slider.max = frames - 1;
    find("#marks").replaceChildren(...Object.entries(marks).map(([title, at]) => {
      const mark = document.createElement("span");
      mark.textContent = title;
      mark.style.left = `${(100 * at) / Math.max(frames - 1, 1)}%`;
      return mark;
    }));
    const here = `#cell=${encodeURIComponent(name)}`;
    for (const row of all("tr.current")) row.classList.remove("current");
    for (const link of all("#cells tbody a")) if (link.getAttribute("href") === `#cell=${name}`) link.closest("tr").classList.add("current");
    goTo(first);
    await Promise.all([...state.clips.values()].map((clip) => clip.ready));
    if (cell === state.cell) { draw(); document.body.dataset.ready = here; }
  }

  // ---- Playing: the frame follows the clock, so that a slow machine skips frames rather than slows down.
  let started = 0, from = 0;
  function tick(now) {
    if (!state.playing) return;
    const perSecond = (facts().fps ?? 25) * Number(speed.value);
    const frame = (from + Math.floor(((now - started) / 1000) * perSecond)) % facts().frames;
    if (frame !== state.frame) goTo(frame);
    requestAnimationFrame(tick);
  }
  function play(on) {
    state.playing = on;
    find("#play").textContent = on ? "pause" : "play";
    if (on) { started = performance.now(); from = state.frame; requestAnimationFrame(tick); }
  }
  const step = (by) => { play(false); goTo(state.frame + by); };
  const turn = (by) => open((state.cell + by + page.cells.length) % page.cells.length);
  const cycle = (select) => { select.selectedIndex = (select.selectedIndex + 1) % select.options.length; show(); };
  function show() {
    document.body.dataset.view = view.value;
    draw();
  }

  slider.addEventListener("input", () => { play(false); goTo(Number(slider.value)); });
  find("#play").addEventListener("click", () => play(!state.playing));
  find("#back").addEventListener("click", () => step(-1));
  find("#forward").addEventListener("click", () => step(1));
  find("#previous").addEventListener("click", () => turn(-1));
  find("#next").addEventListener("click", () => turn(1));
  choose.addEventListener("change", () => open(Number(choose.value)));
  speed.addEventListener("change", () => play(state.playing));
  view.addEventListener("change", show);
  amplification.addEventListener("change", () => { state.amplified = true; draw(); });
  for (const details of all("details.controls")) details.addEventListener("toggle", draw);

  const KEYS = {
    " ": () => play(!state.playing), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    Home: () => step(-Infinity), End: () => step(Infinity), a: () => step(facts().first - state.frame),
    d: () => cycle(view), "[": () => turn(-1), "]": () => turn(1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const taken = event.target.closest("select, summary, a") || (event.target.closest("button") && event.key === " ");
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && !taken) { event.preventDefault(); act(); }
  });

  // ---- Pointing at a clip singles out its curve.
  for (const player of all(".player[data-line]")) {
    const others = () => all('[class^="curve-"]', player.closest(".cell")).filter((curve) => !curve.classList.contains(`curve-${player.dataset.line}`));
    player.addEventListener("pointerenter", () => {
      if (find(`.curve-${CSS.escape(player.dataset.line)}`, player.closest(".cell"))) others().forEach((curve) => curve.classList.add("dimmed"));
    });
    player.addEventListener("pointerleave", () => all(".dimmed").forEach((curve) => curve.classList.remove("dimmed")));
  }

  // ---- #cell=<name> opens that cell.
  function follow() {
    const wanted = /^#cell=(.*)$/.exec(location.hash);
    const cell = wanted ? page.cells.findIndex(({ name }) => [name, encodeURIComponent(name)].includes(wanted[1])) : -1;
    if (cell >= 0) { open(cell); find(".bar").scrollIntoView(); }
  }
  addEventListener("hashchange", follow);
  document.body.dataset.view = view.value;
  follow();
  if (state.cell < 0) open(0);
})();
