/* Draws every figure[data-chart]: its specification and rows lie beside it as JSON. Keys, buttons,
   the mouse and fingers move through time; the legend hides lines. Nothing is ever loaded, and text
   of others becomes text, never HTML. */
(() => {
  "use strict";

  const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
  const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  const DAY = 86400000;
  /** Fewest periods that are shown at once. */
  const CLOSEST = 4;
  const STEP = 0.2;
  const ZOOM = 1.5;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const percent = (value) => (value === undefined ? "–" : PERCENT.format(value));

  const NEW_YORK_DAY = new Intl.DateTimeFormat("en-GB", {
    timeZone: "America/New_York", day: "numeric", month: "short", year: "numeric",
  });
  const UTC_TIME = new Intl.DateTimeFormat("en-GB", {
    timeZone: "UTC", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit",
  });

  /** A period by its end, in UTC; a day, which ends at midnight in New York, by its date. */
  function periodText(time, minutes) {
    if (minutes === 1440) return NEW_YORK_DAY.format(time - DAY / 2);
    return `${UTC_TIME.format(time).replace(",", "")} UTC`;
  }

  /** The place of the last row that ends at or before a time; -1: none does. */
  function lastBefore(rows, time) {
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].t <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  class Chart {
    constructor(figure) {
      const { rows, ...content } = JSON.parse(figure.querySelector("script").textContent);
      Object.assign(this, content);
      this.figure = figure;
      this.plot = figure.querySelector("[data-plot]");
      this.canvas = figure.querySelector("[data-canvas]");
      this.cursor = figure.querySelector("[data-cursor]");
      this.note = figure.querySelector("[data-note]");
      this.said = figure.querySelector("[data-said]");
      this.boxes = [...figure.querySelectorAll("input[data-line]")];
      this.rows = rows;
      this.lines = this.names.map((_, number) => rows.filter((row) => (row.m ?? 0) === number));
      const times = rows.flatMap((row) => (row.s === undefined ? [row.t] : [row.s, row.t]));
      this.last = times.reduce((a, b) => Math.max(a, b));
      const first = times.reduce((a, b) => Math.min(a, b));
      this.first = first < this.last ? first : first - this.interval * 60000;
      this.shown = null;
      this.fingers = new Map();
    }

    async start() {
      await this.draw();
      dark.addEventListener("change", () => this.draw());
      this.plot.addEventListener("keydown", (event) => this.onKey(event));
      for (const button of this.figure.querySelectorAll("button[data-do]")) {
        button.addEventListener("click", () => this.act(button.dataset.do));
      }
      for (const box of this.boxes) box.addEventListener("change", () => this.update());
      this.listenToPointers();
    }

    /** Draws anew, in the colours of the reader's system. */
    async draw() {
      const spec = structuredClone(dark.matches ? this.dark : this.light);
      // Vega writes into its rows
      spec.data = { name: "rows", values: this.rows.map((row) => ({ ...row })) };
      this.view?.finalize();
      const { view } = await vegaEmbed(this.canvas, spec, {
        // what expressions do is interpreted, as the page's policy forbids making code of text
        ast: true,
        actions: false,
        defaultStyle: false,
        tooltip: false,
        renderer: "canvas",
        logLevel: 1,
      });
      this.view = view;
      this.figure.dataset.drawn = dark.matches ? "dark" : "light";
      await this.update();
    }

    /** Shows what is asked for: the range of time, the prices in it, the lines that are ticked. */
    async update() {
      this.hideNote();
      const hidden = this.boxes.filter((box) => !box.checked).map((box) => Number(box.dataset.line));
      this.hidden = new Set(hidden);
      this.view.signal("hidden", hidden);
      this.view.signal("shown", this.range());
      this.view.signal("prices", this.shown && this.pricesOf(this.shown));
      await this.view.runAsync();
    }

    /** The range of prices within a range of time, with some air; null: there are none. */
    pricesOf([since, until]) {
      let low = Infinity;
      let high = -Infinity;
      this.lines.forEach((rows, number) => {
        if (this.hidden.has(number)) return;
        for (let i = Math.max(0, lastBefore(rows, since)); i < rows.length; i += 1) {
          if ((rows[i].s ?? rows[i].t) > until) break;
          const { l, h, b, a, p } = rows[i];
          const quotes = b === undefined || a === undefined ? [] : [b, a];
          for (const value of [l, h, p, ...quotes]) {
            if (value === undefined) continue;
            low = Math.min(low, value);
            high = Math.max(high, value);
          }
        }
      });
      if (high < low) return null;
      const air = Math.max((high - low) * 0.06, 0.002);
      return [Math.max(0, low - air), Math.min(1, high + air)];
    }

    range() {
      return this.shown ?? [this.first, this.last];
    }

    /** Shows a range of that length that begins there, as far as there is data. */
    show(since, length) {
      const all = this.last - this.first;
      const least = Math.min(all, CLOSEST * this.interval * 60000);
      const wanted = Math.max(Math.round(length), least);
      if (wanted >= all) {
        this.shown = null;
      } else {
        const start = Math.min(Math.max(Math.round(since), this.first), this.last - wanted);
        this.shown = [start, start + wanted];
      }
      this.frame ??= requestAnimationFrame(() => {
        this.frame = undefined;
        this.update();
      });
    }

    /** Zooms by a factor around a share of the width, 0 to 1. */
    zoom(factor, share = 0.5) {
      const [since, until] = this.range();
      const length = (until - since) / factor;
      this.show(since + (until - since - length) * share, length);
    }

    pan(share) {
      const [since, until] = this.range();
      this.show(since + (until - since) * share, until - since);
    }

    act(name) {
      const [since, until] = this.range();
      const actions = {
        in: () => this.zoom(ZOOM),
        out: () => this.zoom(1 / ZOOM),
        earlier: () => this.pan(-STEP),
        later: () => this.pan(STEP),
        first: () => this.show(this.first, until - since),
        last: () => this.show(this.last - (until - since), until - since),
        all: () => this.show(this.first, Infinity),
      };
      actions[name]();
      this.say();
    }

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const names = {
        ArrowLeft: "earlier", ArrowRight: "later", "+": "in", "=": "in", "-": "out", _: "out",
        Home: "first", End: "last", 0: "all", Escape: "all",
      };
      const name = names[event.key];
      if (!name) return;
      event.preventDefault();
      this.act(name);
    }

    /** Tells a screen reader what is shown now. */
    say() {
      const [since, until] = this.range();
      const texts = [since, until].map((time) => periodText(time, this.interval));
      this.said.textContent = `${texts[0]} to ${texts[1]}`;
    }

    /** The share of the plot's width where the pointer is; below 0 or above 1: beside it. */
    shareAt(event) {
      const box = this.canvas.getBoundingClientRect();
      return (event.clientX - box.left - this.view.origin()[0]) / this.view.width();
    }

    listenToPointers() {
      const plot = this.plot;
      plot.addEventListener("wheel", (event) => {
        // else the page would not scroll past the chart
        if (!event.ctrlKey && !event.metaKey && document.activeElement !== plot) return;
        event.preventDefault();
        const share = Math.min(1, Math.max(0, this.shareAt(event)));
        this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), share);
      }, { passive: false });
      plot.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        this.fingers.set(event.pointerId, event.clientX);
        if (event.pointerType !== "mouse") this.showNote(event);
      });
      plot.addEventListener("pointermove", (event) => this.onMove(event));
      for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
        plot.addEventListener(name, (event) => {
          this.fingers.delete(event.pointerId);
          if (event.pointerType === "mouse" && name === "pointerleave") this.hideNote();
        });
      }
      plot.addEventListener("blur", () => this.hideNote());
      plot.addEventListener("dblclick", () => this.act("all"));
    }

    onMove(event) {
      const before = this.fingers.get(event.pointerId);
      if (before === undefined) {
        if (event.pointerType === "mouse") this.showNote(event);
        return;
      }
      const others = [...this.fingers].filter(([id]) => id !== event.pointerId);
      this.fingers.set(event.pointerId, event.clientX);
      if (event.clientX === before) return;
      plotCapture(this.plot, event.pointerId);
      if (others.length === 1) {
        const other = others[0][1];
        const apart = Math.max(20, Math.abs(event.clientX - other));
        this.zoom(apart / Math.max(20, Math.abs(before - other)), this.shareAt(event));
      } else if (!others.length) {
        this.hideNote();
        this.pan((before - event.clientX) / this.view.width());
      }
    }

    /** What was where the pointer is, in a box beside it. */
    showNote(event) {
      const share = this.shareAt(event);
      const [since, until] = this.range();
      const time = since + share * (until - since);
      const content = share < 0 || share > 1 ? [] : this.contentAt(time);
      if (!content.length) {
        this.hideNote();
        return;
      }
      this.note.replaceChildren(...content);
      this.note.hidden = this.cursor.hidden = false;
      const box = this.plot.getBoundingClientRect();
      const x = event.clientX - box.left;
      const beside = x > box.width / 2 ? x - this.note.offsetWidth - 14 : x + 14;
      const most = box.width - this.note.offsetWidth;
      this.note.style.left = `${Math.max(0, Math.min(beside, most))}px`;
      const over = event.clientY - box.top - this.note.offsetHeight / 2;
      this.note.style.top = `${Math.max(0, Math.min(over, box.height - this.note.offsetHeight))}px`;
      this.cursor.style.left = `${x}px`;
    }

    hideNote() {
      this.note.hidden = this.cursor.hidden = true;
    }

    /** When the last period ended by then; of days, within half a day. */
    endBefore(time) {
      if (this.interval === 1440) return time - DAY / 2;
      const length = this.interval * 60000;
      return Math.floor(time / length) * length;
    }

    contentAt(time) {
      return this.boxes.length ? this.linesAt(time) : this.marketAt(time);
    }

    linesAt(time) {
      const found = [];
      this.lines.forEach((rows, number) => {
        const row = rows[lastBefore(rows, time)];
        if (!this.hidden.has(number) && row?.p !== undefined) found.push([number, row.p]);
      });
      if (!found.length) return [];
      found.sort((a, b) => b[1] - a[1]);
      const texts = found.map(([number, value]) => {
        const swatch = this.boxes[number].parentElement.querySelector("svg").cloneNode(true);
        return noteLine(this.names[number], percent(value), swatch);
      });
      return [noteTitle(periodText(this.endBefore(time), this.interval)), ...texts];
    }

    marketAt(time) {
      const place = lastBefore(this.rows, time);
      const next = this.rows[place + 1];
      // a candle is drawn before the end of its period, quotes from there on
      if (next && next.s < time) return this.periodLines(next, next.t);
      const row = this.rows[place];
      if (!row) return [];
      const { b, a, x, p } = row;
      const length = this.interval * 60000;
      // a period without a row is one without a trade, in which quotes stayed
      return this.periodLines({ b, a, x, p }, row.t + Math.ceil((time - row.t) / length) * length);
    }

    periodLines(row, end) {
      const lines = [
        noteTitle(periodText(end, this.interval)),
        noteLine("Implied probability", percent(row.p)),
        noteLine("Bid, ask", `${percent(row.b)}, ${percent(row.a)}`),
        noteLine("Last trade", percent(row.x)),
      ];
      if (row.h !== undefined) {
        lines.push(
          noteLine("Open, close", `${percent(row.o)}, ${percent(row.c)}`),
          noteLine("Low, high", `${percent(row.l)}, ${percent(row.h)}`),
        );
      }
      lines.push(noteLine("Contracts", COUNT.format(row.v ?? 0)));
      return lines;
    }
  }

  /** Moves of a drag come here even when they leave the plot. */
  function plotCapture(plot, pointer) {
    try {
      plot.setPointerCapture(pointer);
    } catch {
      // it is up again already
    }
  }

  function noteTitle(text) {
    const element = document.createElement("b");
    element.textContent = text;
    return element;
  }

  function noteLine(name, value, swatch) {
    const line = document.createElement("div");
    const label = document.createElement("bdi");
    const number = document.createElement("span");
    label.textContent = name;
    number.textContent = value;
    line.append(...(swatch ? [swatch] : []), label, number);
    return line;
  }

  function startAll() {
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      const chart = new Chart(figure);
      figure.chart = chart;
      chart.start().catch((error) => {
        console.error(error);
        figure.querySelector("[data-canvas]").textContent = "The chart can't be drawn here.";
      });
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
