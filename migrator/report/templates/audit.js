"use strict";
// Search, filters and sorting for the long tables. Without this script they are plain lists.
const texts = new WeakMap();
const textOf = (row) => {
  if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
  return texts.get(row);
};
const shownRows = (name) => {
  const table = document.querySelector(`table[data-table="${name}"]`);
  const boxes = [...document.querySelectorAll(`input[data-filter="${name}"]`)];
  const field = boxes.length ? boxes[0].dataset.field : "";
  const wanted = new Set(boxes.filter((b) => b.checked).map((b) => b.value));
  const words = (document.querySelector(`input[data-search="${name}"]`)?.value || "").toLowerCase().split(/\s+/);
  let count = 0;
  for (const row of table.tBodies[0].rows) {
    const keep = (!field || wanted.has(row.dataset[field])) && words.every((word) => textOf(row).includes(word));
    row.hidden = !keep;
    count += keep ? 1 : 0;
  }
  const label = document.querySelector(`[data-count="${name}"]`);
  if (label) label.textContent = `${count.toLocaleString("en")} of ${table.tBodies[0].rows.length.toLocaleString("en")}`;
};
const keyOf = (cell) => {
  const text = cell.dataset.sort ?? cell.textContent.trim();
  const number = Number(text.replaceAll(",", ""));
  return text === "–" ? -1 : text !== "" && !Number.isNaN(number) ? number : text.toLowerCase();
};
const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
const sortable = (table) => {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const keyed = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
      keyed.sort((a, b) => sign * compare(a[0], b[0]));
      table.tBodies[0].append(...keyed.map((pair) => pair[1]));
    });
  }
};
for (const table of document.querySelectorAll("table[data-table]")) {
  const name = table.dataset.table;
  sortable(table);
  shownRows(name);
  for (const line of document.querySelectorAll(".filters")) line.hidden = false;
  for (const input of document.querySelectorAll(`input[data-filter="${name}"], input[data-search="${name}"]`)) {
    input.addEventListener("input", () => shownRows(name));
  }
}
// What a reader of paper cannot open is open there.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("#rules details, #work details, #explain details")) part.open = true;
});
