// Keeps the board live and lets people choose light or dark. Without it the page is whole, and reloads by itself.
"use strict";
(() => {
  const root = document.documentElement;
  const store = {
    get: () => { try { return localStorage.getItem("migrator-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("migrator-theme", value); } catch { /* private window */ } },
  };
  if (["light", "dark"].includes(store.get())) root.dataset.theme = store.get();

  // Make `old` like `now` by changing what differs only: focus, selection and scroll positions stay where they are.
  function morph(old, now) {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) { old.replaceWith(now); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== now.data) old.data = now.data; return; }
    for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of [...now.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const before = [...old.childNodes], after = [...now.childNodes];
    after.forEach((child, n) => { if (n < before.length) morph(before[n], child); else old.append(child); });
    before.slice(after.length).forEach((child) => child.remove());
  }

  function show(live, sections, order) {
    for (const name of order) {
      let section = document.getElementById("s-" + name);
      if (!section) {
        section = document.createElement("section");
        section.id = "s-" + name;
        section.dataset.section = name;
      }
      if (section.parentNode !== live) live.append(section);
      if (!(name in sections)) continue;
      const next = section.cloneNode(false);
      next.innerHTML = sections[name];
      morph(section, next);
    }
    for (const section of [...live.children]) if (!order.includes(section.dataset.section)) section.remove();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.getElementById("theme");
    if (toggle) {
      toggle.hidden = false;
      toggle.addEventListener("click", () => {
        const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        root.dataset.theme = dark ? "light" : "dark";
        store.set(root.dataset.theme);
      });
    }
    const live = document.getElementById("live");
    if (!live || !window.EventSource) return;
    let heard = Date.now(), lost = false;
    const source = new EventSource(document.body.dataset.root + "/events?v=" + encodeURIComponent(live.dataset.version));
    source.addEventListener("board", (event) => {
      const news = JSON.parse(event.data);
      heard = Date.now(); lost = false;
      document.title = news.title;
      show(live, news.sections, news.order);
      live.dataset.version = event.lastEventId;
    });
    source.addEventListener("tick", () => { heard = Date.now(); lost = false; });
    source.addEventListener("error", () => { lost = true; });
    setInterval(() => {
      const line = document.getElementById("live-state");
      if (!line) return;
      const silent = Math.round((Date.now() - heard) / 1000);
      let said = document.getElementById("silent");
      if (lost || silent > 20) {
        if (!said) { said = document.createElement("span"); said.id = "silent"; line.append(said); }
        said.textContent = " · this page has heard nothing from its server for " + silent + " s; it tries again";
      } else if (said) said.remove();
      line.classList.toggle("lost", lost || silent > 20);
    }, 1000);
  });
})();
