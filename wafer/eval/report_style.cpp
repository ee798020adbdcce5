#include "wafer/eval/report_format.h"

namespace wafer::eval {

// Colours are named once for each mode; marks in the plots take them by class.
const char* const report_style = R"css(
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f9; --text: #1b2430; --muted: #5c6776; --rule: #dde2e8;
  --grid: #e8ebef; --accent: #1f5fbf; --good: #1f6fc4; --bad: #d9622b; --on: #ffffff;
  --notice: #fdf4e0; --notice-rule: #d99a1c;
  --c0: #1f6fc4; --c1: #d9622b; --c2: #2a8f62; --c3: #8550b8; --c4: #c23b58;
  --c5: #148a9c; --c6: #9a7416; --c7: #5b6b7f; --c8: #b0489a; --c9: #4f7f1f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --panel: #1a2029; --text: #e3e8ef; --muted: #99a5b5; --rule: #2d3643;
    --grid: #252d38; --accent: #7fb0f5; --good: #4a93e6; --bad: #e8793f; --on: #ffffff;
    --notice: #2d2615; --notice-rule: #d99a1c;
    --c0: #5ea2f0; --c1: #f08a52; --c2: #4fbf8d; --c3: #b38ae0; --c4: #ee718c;
    --c5: #45bccd; --c6: #cfa53f; --c7: #94a4b8; --c8: #dd7fc9; --c9: #8cbf56;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 36px 24px 64px; }
.eyebrow { color: var(--muted); font-size: 13px; margin: 0; }
h1 { font-size: 30px; line-height: 1.2; margin: 2px 0 14px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 44px 0 12px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; margin: 22px 0 8px; }
p { margin: 8px 0; }
.verdict { font-size: 17px; line-height: 1.6; max-width: 78ch; }
.hint { color: var(--muted); font-size: 14px; max-width: 84ch; }
.notice {
  background: var(--notice); border-left: 4px solid var(--notice-rule); border-radius: 4px;
  padding: 8px 14px; margin: 12px 0; max-width: 84ch;
}
.tiles {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 12px;
  margin: 22px 0;
}
.tile {
  background: var(--panel); border: 1px solid var(--rule); border-radius: 8px;
  padding: 12px 14px;
}
.tile .what { color: var(--muted); font-size: 13px; }
.tile .number {
  font-size: 22px; font-weight: 650; line-height: 1.4; white-space: nowrap;
  font-variant-numeric: tabular-nums;
}
.tile .more { color: var(--muted); font-size: 12.5px; line-height: 1.4; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 14px; margin-top: 18px; }
nav a { color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }
.wide2 {
  display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 10px 36px;
  align-items: start;
}
.wide2 h3 { margin-top: 8px; }
.grid2 {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 20px 28px; align-items: start;
}
figure { margin: 12px 0; min-width: 0; }
figcaption { font-weight: 600; font-size: 14px; margin-bottom: 6px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit; }
.label { font-size: 11.5px; fill: var(--muted); font-variant-numeric: tabular-nums; }
.label.name { font-size: 12px; fill: var(--text); }
.cell { font-size: 11px; fill: var(--text); font-variant-numeric: tabular-nums; }
.cell.on { fill: var(--on); }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { stroke: var(--muted); stroke-width: 1; }
.diagonal { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 3 4; }
.series { fill: none; stroke-width: 2; stroke-linejoin: round; }
.series.dashed { stroke-dasharray: 6 4; }
.good { fill: var(--good); } .bad { fill: var(--bad); }
.c0 { stroke: var(--c0); --c: var(--c0); } .c1 { stroke: var(--c1); --c: var(--c1); }
.c2 { stroke: var(--c2); --c: var(--c2); } .c3 { stroke: var(--c3); --c: var(--c3); }
.c4 { stroke: var(--c4); --c: var(--c4); } .c5 { stroke: var(--c5); --c: var(--c5); }
.c6 { stroke: var(--c6); --c: var(--c6); } .c7 { stroke: var(--c7); --c: var(--c7); }
.c8 { stroke: var(--c8); --c: var(--c8); } .c9 { stroke: var(--c9); --c: var(--c9); }
.fill { fill: var(--c); stroke: none; }
rect.fill { fill-opacity: 0.85; }
.legend {
  list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0;
  font-size: 13px; color: var(--muted);
}
.key {
  display: inline-block; width: 18px; border-top: 3px solid var(--c); margin-right: 6px;
  vertical-align: middle;
}
.key.dashed { border-top-style: dashed; }
.scroll { overflow-x: auto; margin: 10px 0; }
table {
  border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums;
  min-width: min(100%, 420px);
}
th, td {
  text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top;
}
th {
  color: var(--muted); font-weight: 600; font-size: 13px; white-space: nowrap;
  vertical-align: bottom;
}
th.n, td.n { text-align: right; white-space: nowrap; }
th.n:last-child, td.n:last-child { padding-right: 4px; }
tr.total td { font-weight: 600; }
tr.chosen td { background: var(--panel); font-weight: 600; }
tbody tr:hover td { background: var(--panel); }
td.name { overflow-wrap: anywhere; min-width: 12ch; }
td.fact { overflow-wrap: anywhere; }
.missing { color: var(--muted); font-style: italic; }
.bar {
  display: block; height: 10px; min-width: 1px; border-radius: 2px; background: var(--c0);
  opacity: 0.85;
}
td.bars { width: 150px; min-width: 90px; vertical-align: middle; }
details { margin: 12px 0; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; }
.thumbs {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 12px;
  margin: 12px 0;
}
.thumb {
  background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 9px;
  font-size: 13px; line-height: 1.4; overflow-wrap: anywhere;
}
.thumb img {
  width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated;
  border-radius: 4px; display: block; margin-bottom: 7px;
}
.thumb .where { color: var(--muted); font-size: 12px; }
.wrong { color: var(--bad); font-weight: 600; }
footer { margin-top: 48px; color: var(--muted); font-size: 13px; }
@media (max-width: 860px) { .wide2 { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 560px) {
  main { padding: 22px 14px 40px; }
  h1 { font-size: 25px; }
  .verdict { font-size: 16px; }
  th, td { padding-right: 10px; }
}
@media print {
  :root {
    color-scheme: light;
    --page: #ffffff; --panel: #f6f7f9; --text: #1b2430; --muted: #4c5664; --rule: #ccd2d9;
    --grid: #e2e6ea; --good: #1f6fc4; --bad: #d9622b; --notice: #fdf4e0;
    --c0: #1f6fc4; --c1: #d9622b; --c2: #2a8f62; --c3: #8550b8; --c4: #c23b58;
    --c5: #148a9c; --c6: #9a7416; --c7: #5b6b7f; --c8: #b0489a; --c9: #4f7f1f;
  }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, .tile, .thumb, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
}
)css";

}  // namespace wafer::eval
