"use strict";
// Draws every figure[data-chart] of the page. Moving and zooming change two signals of the drawn
// chart, `first` and `last`, whichever of mouse, fingers or keys asks for it.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const LEAST = 3 * 60 * 1000;
  const MARGIN = 72; // what the axis takes of the width

  function prepare(figure) {
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const place = figure.querySelector(".chart-view");
    const state = { first: data.first, last: data.last, hidden: [], view: null, width: 0, turn: 0 };

    function sized(spec) {
      const width = Math.max(place.clientWidth - MARGIN, 160);
      for (const part of spec.vconcat || [spec]) part.width = width;
      return spec;
    }

    async function draw() {
      const turn = ++state.turn;
      state.width = place.clientWidth;
      const spec = sized(structuredClone(dark.matches ? data.dark : data.light));
      for (const param of spec.params) param.value = state[param.name];
      spec.data = { name: "rows", values: structuredClone(data.rows) };
      // interpreted expressions, as the page forbids to make code from text; warnings only
      const drawn = await window.vegaEmbed(place, spec, { ast: true, actions: false, renderer: "svg", logLevel: 1 });
      if (turn !== state.turn) return drawn.finalize();
      if (state.drawn) state.drawn.finalize();
      state.drawn = drawn;
      state.view = drawn.view;
      figure.dataset.drawn = dark.matches ? "dark" : "light";
    }

    async function show(first, last) {
      const length = Math.min(Math.max(last - first, LEAST), data.last - data.first);
      state.first = Math.round(Math.min(Math.max(first, data.first), data.last - length));
      state.last = Math.round(state.first + length);
      await apply();
    }

    async function apply() {
      if (!state.view) return;
      await state.view.signal("first", state.first).signal("last", state.last).signal("hidden", state.hidden).runAsync();
      figure.dataset.first = state.first;
      figure.dataset.last = state.last;
    }

    const move = (share) => show(state.first + share * (state.last - state.first), state.last + share * (state.last - state.first));

    function zoom(factor, at = 0.5) {
      const length = state.last - state.first;
      const fixed = state.first + at * length;
      return show(fixed - at * length * factor, fixed + (1 - at) * length * factor);
    }

    const keys = {
      ArrowLeft: () => move(-0.2),
      ArrowRight: () => move(0.2),
      Home: () => show(data.first, data.first + state.last - state.first),
      End: () => show(data.last - state.last + state.first, data.last),
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      0: () => show(data.first, data.last),
      Escape: () => show(data.first, data.last),
    };

    place.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });

    const shareAt = (event) => {
      const box = place.getBoundingClientRect();
      return Math.min(Math.max((event.clientX - box.left - MARGIN / 2) / (box.width - MARGIN), 0), 1);
    };

    place.addEventListener("wheel", (event) => {
      // also what browsers make of a pinch on a touchpad; alone it scrolls the page
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, shareAt(event));
    }, { passive: false });

    const pointers = new Map();
    place.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event.clientX);
      place.setPointerCapture(event.pointerId);
    });
    place.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const before = [...pointers.values()];
      const shift = (pointers.get(event.pointerId) - event.clientX) / Math.max(place.clientWidth - MARGIN, 1);
      pointers.set(event.pointerId, event.clientX);
      if (pointers.size === 1) {
        move(shift);
      } else {
        const after = [...pointers.values()];
        const spread = (values) => Math.max(Math.abs(values[0] - values[1]), 10);
        zoom(spread(before) / spread(after));
      }
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      place.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }

    figure.addEventListener("change", (event) => {
      if (!event.target.matches("input[data-line]")) return;
      const boxes = figure.querySelectorAll("input[data-line]:not(:checked)");
      state.hidden = [...boxes].map((box) => box.dataset.line);
      apply();
    });

    dark.addEventListener("change", draw);
    new ResizeObserver(() => {
      if (Math.abs(place.clientWidth - state.width) > 1) draw();
    }).observe(place);
    draw().then(apply);
  }

  const start = () => document.querySelectorAll("figure[data-chart]").forEach(prepare);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
