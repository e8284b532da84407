// The search over all events, and ages that count on after the site was made. Nothing is requested:
// the index came with the page, as search-index.js.
(function () {
  "use strict";

  const MOST = 12;
  const root = document.body.dataset.root || "";
  const input = document.getElementById("search");
  const list = document.getElementById("found");
  const status = document.getElementById("search-status");
  const index = window.kalshiSearch || { categories: [], events: [] };
  let entries = null;
  let shown = [];
  let chosen = -1;

  // "Beşiktaş" is found by "besiktas"
  function folded(text) {
    return text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  }

  function wordsOf(text) {
    return text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  }

  // made when the search is first used, so that pages open without its cost
  function prepare() {
    entries = index.events.map(function (row) {
      const title = folded(row[1]);
      const category = row[2] < 0 ? "" : index.categories[row[2]];
      return {
        ticker: row[0],
        title: row[1],
        category: category,
        page: row[3] === 1 ? row[0] : row[3],
        probability: row[4],
        foldedTicker: folded(row[0]),
        foldedTitle: title,
        words: wordsOf(title),
        categoryWords: wordsOf(folded(category)),
      };
    });
  }

  function score(entry, query, words) {
    let total = entry.page ? 1 : 0;
    if (entry.foldedTicker === query) total += 1000;
    else if (entry.foldedTicker.startsWith(query)) total += 500;
    if (entry.foldedTitle.startsWith(query)) total += 50;
    for (const word of words) {
      if (entry.words.includes(word)) total += 24;
      else if (entry.words.some(function (one) { return one.startsWith(word); })) total += 16;
      else if (entry.foldedTicker.includes(word)) total += 8;
      else if (entry.categoryWords.some(function (one) { return one.startsWith(word); })) total += 4;
      else if (entry.foldedTitle.includes(word)) total += 2;
      else return -1;
    }
    return total;
  }

  function find(text) {
    if (!entries) prepare();
    const query = folded(text.trim());
    const words = wordsOf(query);
    if (!words.length) return [];
    const found = [];
    entries.forEach(function (entry, place) {
      const points = score(entry, query, words);
      if (points >= 0) found.push([points, place, entry]);
    });
    // among equals the most traded first, as in the index
    found.sort(function (a, b) { return b[0] - a[0] || a[1] - b[1]; });
    return found.map(function (one) { return one[2]; });
  }

  function piece(name, text) {
    const made = document.createElement("span");
    made.className = name;
    made.dir = "auto";
    made.textContent = text;
    return made;
  }

  function option(entry, number) {
    const made = document.createElement("li");
    made.id = "found-" + number;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", "false");
    if (!entry.page) made.setAttribute("aria-disabled", "true");
    made.append(
      piece("title", entry.title || entry.ticker),
      piece("probability", entry.probability ? entry.probability + "\u00a0%" : ""),
      piece("more", [entry.ticker, entry.category, entry.page ? "" : "no page"].filter(Boolean).join(" · "))
    );
    made.addEventListener("mousedown", function (event) {
      event.preventDefault();
      open(entry);
    });
    return made;
  }

  function show() {
    const text = input.value;
    if (!text.trim()) return hide();
    const found = find(text);
    shown = found.slice(0, MOST);
    if (shown.length) {
      list.replaceChildren.apply(list, shown.map(option));
    } else {
      const none = document.createElement("li");
      none.className = "none";
      none.setAttribute("role", "option");
      none.setAttribute("aria-disabled", "true");
      none.textContent = "No event found";
      list.replaceChildren(none);
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    choose(-1);
    status.textContent = found.length
      ? found.length.toLocaleString("en") + (found.length === 1 ? " event" : " events") +
        (found.length > shown.length ? ", the first " + shown.length + " are listed" : "")
      : "No event found";
  }

  function hide() {
    shown = [];
    list.hidden = true;
    list.replaceChildren();
    input.setAttribute("aria-expanded", "false");
    choose(-1);
    status.textContent = "";
  }

  function choose(number) {
    const before = list.querySelector('[aria-selected="true"]');
    if (before) before.setAttribute("aria-selected", "false");
    chosen = number;
    const now = number >= 0 ? list.children[number] : null;
    if (now) {
      now.setAttribute("aria-selected", "true");
      now.scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", now.id);
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function open(entry) {
    if (entry && entry.page) {
      window.location.href = root + "events/" + encodeURIComponent(entry.page) + ".html";
    }
  }

  if (input && list && status) {
    input.addEventListener("input", show);
    input.addEventListener("focus", function () { if (input.value) show(); });
    input.addEventListener("blur", hide);
    input.addEventListener("keydown", function (event) {
      if (event.isComposing) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (list.hidden) show();
        if (!shown.length) return;
        event.preventDefault();
        const step = event.key === "ArrowDown" ? 1 : -1;
        // past either end the text itself is chosen again
        const places = shown.length + 1;
        choose(((chosen + 1 + step + places) % places) - 1);
      } else if (event.key === "Enter") {
        // the first one that has a page, unless one is chosen
        open(chosen >= 0 ? shown[chosen] : shown.find(function (one) { return one.page; }));
      } else if (event.key === "Escape") {
        if (list.hidden) input.value = "";
        hide();
        event.preventDefault();
      }
    });
    document.addEventListener("keydown", function (event) {
      const at = event.target;
      const isTyping = at instanceof Element && at.closest("input, textarea, select, [contenteditable]");
      if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        input.focus();
        input.select();
      }
    });
  }

  // as in pages.py
  function duration(seconds) {
    if (seconds < 120) return seconds + " s";
    if (seconds < 7200) return Math.floor(seconds / 60) + " min";
    if (seconds < 259200) return Math.floor(seconds / 3600) + " h";
    return Math.floor(seconds / 86400).toLocaleString("en") + " days";
  }

  function age(since) {
    return Math.max(0, Math.floor(Date.now() / 1000) - Number(since));
  }

  for (const one of document.querySelectorAll(".age[data-since]")) {
    one.textContent = duration(age(one.dataset.since));
  }
  for (const one of document.querySelectorAll("[data-newest]")) {
    const badge = one.querySelector(".badge");
    if (badge && age(one.dataset.newest) > Number(one.dataset.staleAfter)) {
      badge.textContent = "stale";
      badge.className = "badge bad";
    }
  }
})();
