// Tables: a click on a heading sorts the rows of each section; absent values stay last. A page has one heat map in view.
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
document.documentElement.classList.add("js");

function sortTable(heading) {
  const column = heading.cellIndex;
  const rising = heading.getAttribute("aria-sort") === "descending" || (column === 0 && !heading.hasAttribute("aria-sort"));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const compare = (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[column].dataset.sort);
    if (x === "" || y === "") return (x === "") - (y === "");
    const numbers = x !== undefined && !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
    const order = column && numbers ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
    return rising ? order : -order;
  };
  for (const body of heading.closest("table").tBodies) body.append(...all("tr:not(.heading)", body).sort(compare));
}
for (const button of all(".sortable thead button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

const heat = find("#heat");
function showHeat() {
  for (const map of all(".heat")) map.hidden = map.dataset.figure !== heat.value;
}
if (heat) { heat.addEventListener("change", showHeat); showHeat(); }

// The reader's choice of light or dark goes before the system's.
const theme = find("#theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.style.colorScheme = dark ? "light" : "dark";
});
