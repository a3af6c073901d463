"""The style sheet of the page: light, black on white in print."""

STYLE = """
:root { --ink: #1f2933; --soft: #5b6773; --line: #dfe4e8; --accent: #0072b2; --good: #00704f; --bad: #b34700; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f8; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial,
  sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
header, section { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 22px 26px;
  margin-bottom: 18px; }
h1 { margin: 0 0 10px; font-size: 26px; }
h2 { margin: 0 0 8px; font-size: 19px; }
h3 { margin: 18px 0 4px; font-size: 15px; }
p { margin: 0 0 12px; max-width: 92ch; overflow-wrap: anywhere; }
section > p { color: var(--soft); }
.lead { font-size: 17px; }
.none { font-weight: 600; color: var(--bad); }
section > p.none { color: var(--bad); }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; }
.tile { flex: 1 1 130px; border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px; }
.tile b { display: block; font-size: 23px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile.good b { color: var(--good); }
.tile.bad b { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; font-size: 13px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; margin: 6px 0 10px; }
th { text-align: left; vertical-align: bottom; color: var(--soft); font-weight: 600;
  border-bottom: 1.5px solid #b9c2ca; padding: 4px 10px 4px 0; }
td { border-bottom: 1px solid var(--line); padding: 3px 10px 3px 0; vertical-align: top; }
th.n, td.n { text-align: right; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.t { overflow-wrap: anywhere; }
td.bar { background: linear-gradient(to right, #cfe3f0 var(--share), transparent 0) 0 50% / calc(100% - 10px) 62%
  no-repeat; }
figure { margin: 6px 0 14px; }
img { display: block; width: 100%; height: auto; }
summary { cursor: pointer; color: var(--accent); padding: 4px 0; overflow-wrap: anywhere; }
@media print {
  body { background: #fff; font-size: 11px; }
  main { max-width: none; padding: 0; }
  header, section { border: 0; padding: 0; margin-bottom: 14px; }
  figure, tr, .tile { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  td.bar { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
