// Clips: frame 0 and coded differences from it (or frames, if the motion is large), and how the blocks of the face move.
const page = JSON.parse(find("#page-data").textContent);
const SIZE = page.size;
// Convert codes 0..255 to grey levels and to pixels: the inverses of reports/media.py and reports/fields.py.
const spread = (knee, most) => Float32Array.from({ length: 256 }, (_, code) =>
  knee * Math.sinh(((code - 128) / 127) * Math.asinh(most / knee)));
const DIFFERENCE = spread(page.knee, 255);
const MOVE = spread(page.field.knee, page.field.farthest);
const offscreen = (size) => new OffscreenCanvas(size, size).getContext("2d", { willReadFrequently: true });
const tile = offscreen(SIZE);

function bitmap(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/webp" }), { colorSpaceConversion: "none" });
}
function pixels(source, x, y, size = SIZE) {
  tile.drawImage(source, x, y, size, size, 0, 0, size, size);
  return tile.getImageData(0, 0, size, size).data;
}

// A clip is in the page, or in a script beside it that passes it to `receive`.
const arriving = new Map();
globalThis.receive = (number, coded) => {
  arriving.get(number)?.(coded);
  arriving.delete(number);
};
function fetchCoded(number) {
  if (!page.folder) return Promise.resolve(JSON.parse(find(`#media-${number}`).textContent));
  return new Promise((resolve, reject) => {
    arriving.set(Number(number), resolve);
    const script = document.createElement("script");
    script.src = `${page.folder}/${number}.js`;
    script.onload = () => script.remove();
    script.onerror = () => reject(new Error(`missing: keep the folder ${page.folder} beside this page`));
    document.head.append(script);
  });
}

class Clip {
  constructor(number) {
    this.lost = "";
    this.ready = fetchCoded(number).then((coded) => this.decode(coded)).catch((error) => { this.lost = error.message; });
  }
  async decode(coded) {
    this.frames = coded.n;
    this.still = !coded.sheets.length;
    // Without a base the tiles are the frames themselves, and frame 0 is the first of them.
    this.whole = !coded.base;
    const parts = [...coded.sheets, coded.base, coded.field].filter(Boolean);
    this.bitmaps = await Promise.all(parts.map(bitmap));
    this.field = coded.field ? this.bitmaps.at(-1) : null;
    const first = this.whole ? this.bitmaps[0] : this.bitmaps[coded.sheets.length];
    this.base = pixels(first, 0, 0).slice();
  }
  // Differences of a frame from frame 0 in grey levels, RGBA, into `delta`.
  read(frame, delta) {
    if (this.still) { delta.fill(0); return; }
    const index = Math.min(frame, this.frames - 1);
    const place = index % page.perSheet;
    const sheet = this.bitmaps[Math.floor(index / page.perSheet)];
    const codes = pixels(sheet, (place % page.columns) * SIZE, Math.floor(place / page.columns) * SIZE);
    for (let i = 0; i < delta.length; i++) delta[i] = this.whole ? codes[i] - this.base[i] : DIFFERENCE[codes[i]];
  }
  // The same for the reference frame of the differences, read once.
  rest(frame) {
    if (this.restOf !== frame) {
      this.restDelta ??= new Float32Array(this.base.length);
      this.read(frame, this.restDelta);
      this.restOf = frame;
    }
    return this.restDelta;
  }
  // Displacements of the face's blocks in pixels: [grid, x of each block, y of each].
  moves(frame) {
    const { columns } = page.field;
    const grid = this.field.width / columns;
    const index = Math.min(frame, this.frames - 1);
    const codes = pixels(this.field, (index % columns) * grid, Math.floor(index / columns) * grid, grid);
    const part = (channel) => Float32Array.from({ length: grid * grid }, (_, i) => MOVE[codes[4 * i + channel]]);
    return [grid, part(0), part(1)];
  }
  release() {
    this.ready.then(() => this.bitmaps?.forEach((sheet) => sheet.close()));
  }
}

const out = new ImageData(SIZE, SIZE);
const delta = new Float32Array(out.data.length);
const LUMA = [0.299, 0.587, 0.114];
const luma = (values, i) => LUMA[0] * values[i] + LUMA[1] * values[i + 1] + LUMA[2] * values[i + 2];

// Each paints `out`: the picture, its difference from the resting frame, or the picture dimmed.
function paintPicture(base) {
  for (let i = 0; i < base.length; i++) out.data[i] = i % 4 === 3 ? 255 : base[i] + delta[i];
}
function paintGrey(i, level) {
  out.data[i] = out.data[i + 1] = out.data[i + 2] = level;
  out.data[i + 3] = 255;
}
function paintDifference(rest, amplification) {
  for (let i = 0; i < delta.length; i += 4) paintGrey(i, 128 + amplification * (luma(delta, i) - luma(rest, i)));
}
function paintDimmed(base) {
  for (let i = 0; i < base.length; i += 4) paintGrey(i, 26 + 0.42 * (luma(base, i) + luma(delta, i)));
}

const scratch = offscreen(SIZE);
function put(context, x, y, size) {
  scratch.putImageData(out, 0, 0);
  context.drawImage(scratch.canvas, x, y, size, size);
}

const veil = offscreen(1);
// Direction as hue (right red, down green, left cyan, up violet), strength as saturation and opacity.
const hue = (x, y) => (Math.atan2(y, x) * 180) / Math.PI;
const LONGEST = 22;

// Write on a canvas that this clip's motion was not measured.
function writeNoField(context) {
  const unit = context.canvas.width / SIZE;
  context.fillStyle = "#fff";
  context.strokeStyle = "#000";
  context.lineWidth = 3 * unit;
  context.font = `${14 * unit}px sans-serif`;
  context.strokeText("no motion field", 12 * unit, 24 * unit);
  context.fillText("no motion field", 12 * unit, 24 * unit);
}

function drawMotion(canvas, clip, frame, stretch) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / SIZE;
  paintDimmed(clip.base);
  put(context, 0, 0, canvas.width);
  if (clip.still) return;
  if (!clip.field) { writeNoField(context); return; }
  const [grid, x, y] = clip.moves(frame);
  const block = canvas.width / grid;
  // One pixel per block, stretched smoothly over the picture.
  veil.canvas.width = veil.canvas.height = grid;
  for (let i = 0; i < x.length; i++) {
    const strength = Math.min(1, (stretch * Math.hypot(x[i], y[i])) / LONGEST);
    if (strength < 0.06) continue;
    veil.fillStyle = `hsl(${hue(x[i], y[i])} 90% 55% / ${0.8 * strength})`;
    veil.fillRect(i % grid, Math.floor(i / grid), 1, 1);
  }
  context.globalCompositeOperation = "screen";
  context.drawImage(veil.canvas, 0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  context.strokeStyle = context.fillStyle = "#fff";
  context.lineWidth = 2.2;
  for (let row = 0; row < grid; row += 2) {
    for (let column = 0; column < grid; column += 2) {
      const blocks = [0, 1, grid, grid + 1].map((by) => row * grid + column + by);
      const mean = (values) => (scale * stretch * blocks.reduce((sum, i) => sum + values[i], 0)) / 4;
      drawArrow(context, (column + 1) * block, (row + 1) * block, mean(x), mean(y), scale);
    }
  }
}
// Draw an arrow from a point; motion too short to have a direction is left out.
function drawArrow(context, fromX, fromY, x, y, scale) {
  const length = Math.min(Math.hypot(x, y), 1.6 * LONGEST * scale);
  if (length < 2.5 * scale) return;
  const head = Math.min(4.5 * scale, 0.55 * length);
  context.save();
  context.translate(fromX, fromY);
  context.rotate(Math.atan2(y, x));
  context.beginPath();
  context.moveTo(0, 0);
  context.lineTo(length - head / 2, 0);
  context.stroke();
  context.beginPath();
  context.moveTo(length, 0);
  context.lineTo(length - head, head / 2);
  context.lineTo(length - head, -head / 2);
  context.fill();
  context.restore();
}
