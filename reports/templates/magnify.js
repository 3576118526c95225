// The magnified view: a frame warped so that its facial motion since frame 0 becomes `factor` times as large. This
// is the motion that scoring measured, without head motion, so that the head moves as it does in the picture.

// Measurement noise must not become waves. The field is smoothed over blocks of 8 pixels, then faded to nothing from
// 2 FLOOR to FLOOR pixels. For the demo's two templates with camera noise of sigma 2 (4), the smoothed field
// is at most 0.08 (0.10) pixels.
const FLOOR = 0.1;
// The smallest area to which a pixel may shrink (as in faces/transfer.py): if magnified motion would fold the picture, the
// field is smoothed once more.
const LEAST_AREA = 0.15;
const MOST_SMOOTHING = 200;
const ROUNDS = 8;

// One plane of a field, G x G blocks: smoothed by 1/4, 1/2, 1/4 along rows and columns, with the border repeated.
function smoothed(plane, grid) {
  const along = (values, step, place) => Float32Array.from(values, (value, i) => {
    const before = place(i) > 0 ? values[i - step] : value;
    const after = place(i) < grid - 1 ? values[i + step] : value;
    return (before + 2 * value + after) / 4;
  });
  return along(along(plane, 1, (i) => i % grid), grid, (i) => Math.floor(i / grid));
}

// The share of a motion of this length (pixels) that is magnified: none for noise, all for motion well above it.
function trusted(length) {
  const share = Math.min(Math.max(length / FLOOR - 1, 0), 1);
  return share * share * (3 - 2 * share);
}

// Whether a field of G x G blocks, `block` pixels each, folds a picture when it is `factor` times as large.
function folds(x, y, grid, block, factor) {
  const slope = (plane, i, step) => (factor * (plane[i + step] - plane[i - step])) / (2 * block);
  for (let row = 1; row < grid - 1; row++) {
    for (let column = 1; column < grid - 1; column++) {
      const i = row * grid + column;
      const area = (1 + slope(x, i, 1)) * (1 + slope(y, i, grid)) - slope(x, i, grid) * slope(y, i, 1);
      if (area < LEAST_AREA) return true;
    }
  }
  return false;
}

// The value of a plane of G x G values at a place between them, interpolated linearly, with the border repeated.
function between(plane, grid, column, row) {
  const x = Math.min(Math.max(column, 0), grid - 1.001), y = Math.min(Math.max(row, 0), grid - 1.001);
  const left = Math.floor(x), upper = Math.floor(y), i = upper * grid + left;
  const [across, down] = [x - left, y - upper];
  const above = plane[i] + across * (plane[i + 1] - plane[i]);
  const below = plane[i + grid] + across * (plane[i + grid + 1] - plane[i + grid]);
  return above + down * (below - above);
}

// The displacement (x and y, in pixels) of each block of the magnified frame beyond its own motion.
function magnifying(clip, frame, factor) {
  let [grid, x, y] = clip.moves(frame);
  const block = SIZE / grid;
  [x, y] = [smoothed(x, grid), smoothed(y, grid)];
  const share = x.map((value, i) => trusted(Math.hypot(value, y[i])));
  [x, y] = [x, y].map((plane) => plane.map((value, i) => share[i] * value));
  for (let count = 0; count < MOST_SMOOTHING && folds(x, y, grid, block, factor); count++) {
    [x, y] = [smoothed(x, grid), smoothed(y, grid)];
  }
  // The block p shows what was at p - factor times the motion there: found by fixed-point iteration.
  let [u, v] = [x, y];
  for (let round = 0; round < ROUNDS; round++) {
    const from = (plane) => Float32Array.from(plane, (_, i) =>
      between(plane, grid, (i % grid) - (factor * u[i]) / block, Math.floor(i / grid) - (factor * v[i]) / block));
    [u, v] = [from(x), from(y)];
  }
  return [grid, u.map((value) => (factor - 1) * value), v.map((value) => (factor - 1) * value)];
}

// Paints `out`: the frame in `delta` with its facial motion magnified.
function paintMagnified(clip, frame, factor) {
  paintPicture(clip.base);
  if (!clip.field) return;
  const [grid, x, y] = magnifying(clip, frame, factor);
  const source = out.data.slice(), block = SIZE / grid, last = SIZE - 1.001;
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const place = [(column + 0.5) / block - 0.5, (row + 0.5) / block - 0.5];
      const [moveX, moveY] = [between(x, grid, ...place), between(y, grid, ...place)];
      if (!moveX && !moveY) continue;
      const fromX = Math.min(Math.max(column - moveX, 0), last), fromY = Math.min(Math.max(row - moveY, 0), last);
      const left = Math.floor(fromX), upper = Math.floor(fromY), across = fromX - left, down = fromY - upper;
      const i = 4 * (upper * SIZE + left), at = 4 * (row * SIZE + column);
      for (let channel = 0; channel < 3; channel++) {
        const corner = i + channel;
        const above = source[corner] + across * (source[corner + 4] - source[corner]);
        const below = source[corner + 4 * SIZE] + across * (source[corner + 4 * SIZE + 4] - source[corner + 4 * SIZE]);
        out.data[at + channel] = above + down * (below - above);
      }
    }
  }
}
