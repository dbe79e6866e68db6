"use strict";
const shownRows = (name) => {
  const table = document.querySelector(`table[data-table="${name}"]`);
  if (!table) return;
  const boxes = [...document.querySelectorAll(`input[data-filter="${name}"]`)];
  const field = boxes.length ? boxes[0].dataset.field : "";
  const wanted = new Set(boxes.filter((b) => b.checked).map((b) => b.value));
  const text = (document.querySelector(`input[data-search="${name}"]`)?.value || "").toLowerCase();
  let count = 0;
  for (const row of table.tBodies[0].rows) {
    const keep = (!field || wanted.has(row.dataset[field])) && (!text || row.textContent.toLowerCase().includes(text));
    row.hidden = !keep;
    count += keep ? 1 : 0;
  }
  const label = document.querySelector(`[data-count="${name}"]`);
  if (label) label.textContent = `${count} of ${table.tBodies[0].rows.length}`;
};
for (const name of ["findings", "statements", "tables"]) {
  shownRows(name);
  for (const input of document.querySelectorAll(`input[data-filter="${name}"], input[data-search="${name}"]`)) {
    input.addEventListener("input", () => shownRows(name));
  }
}
