/**
 * The look of the page, light and dark. The colors of series have a contrast of at least 3 to 1 against the paper.
 * Neighbors also differ in lightness. Markers and dashes distinguish series without color.
 */
export const styleSheet = `
:root {
  --paper: #ffffff; --ink: #1c2430; --faint: #5b6675; --grid: #e3e7ec; --shadow: #0003; --panel: #f6f8fa; --warn: #a3231f; --warn-paper: #fdecea; --link: #0b5cad;
  --series-0: #0b62c4; --series-1: #c2410c; --series-2: #0f7b55; --series-3: #8e3aa8; --series-4: #8a6d00;
  --series-5: #be185d; --series-6: #0e7490; --series-7: #4b5563; --series-8: #4f46e5; --series-9: #65741a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181f; --ink: #e6eaf0; --faint: #9aa5b4; --grid: #2b323d; --shadow: #fff3; --panel: #1c222b; --warn: #ff9b93; --warn-paper: #3a1d1d; --link: #7db8ff;
    --series-0: #5aa9ff; --series-1: #ff9357; --series-2: #3fcf9a; --series-3: #d78bf0; --series-4: #e3c34a;
    --series-5: #ff7eb0; --series-6: #4fd3e8; --series-7: #b4bdc9; --series-8: #a5a2ff; --series-9: #b9cc5c;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem; max-width: 82rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .5rem; }
h2 { font-size: 1.4rem; margin: 2.5rem 0 .25rem; padding-top: 1rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 0; }
p { margin: .25rem 0; max-width: 85ch; }
a { color: var(--link); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 0 1rem; }
.facts dt { color: var(--faint); }
.facts dd { margin: 0; }
.servers, .searches { margin: 0 0 1rem; padding-left: 1.2rem; }
.verdict { margin: 1rem 0; padding: .6rem .9rem; border-left: 4px solid var(--series-2); background: var(--panel); max-width: none; }
.verdict.invalid { border-color: var(--warn); background: var(--warn-paper); }
.verdict ul { margin: .4rem 0 0; padding-left: 1.2rem; max-height: 20rem; overflow: auto; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; margin: 0; padding: 0; }
figure { margin: 1.25rem 0; padding: 1rem; border: 1px solid var(--grid); border-radius: 8px; min-width: 0; }
figcaption p { max-width: 100ch; }
figcaption p, .notes { color: var(--faint); font-size: .92rem; }
.plot { position: relative; height: 24rem; margin-top: .5rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem; margin-top: .5rem; }
.panels figure { margin: 0; }
.panels .plot { height: 15rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .5rem; margin-top: .5rem; }
.legend button { display: inline-flex; align-items: center; gap: .45rem; padding: .2rem .55rem; border: 1px solid var(--grid); border-radius: 999px; background: var(--paper); color: inherit; font: .88rem system-ui, sans-serif; cursor: pointer; }
.legend button[aria-pressed="false"] { color: var(--faint); text-decoration: line-through; }
.legend button[aria-pressed="false"] svg { opacity: .3; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.notes { margin: .5rem 0 0; padding-left: 1.2rem; color: var(--warn); }
summary { cursor: pointer; }
summary h3 { display: inline; }
.course { margin: 1.25rem 0; }
.numbers { margin-top: .5rem; font-size: .92rem; }
/* A shadow at the edge shows that there is more to scroll to. */
.table { overflow-x: auto; background: linear-gradient(to right, var(--paper) 30%, transparent) left / 3rem 100% no-repeat local, linear-gradient(to left, var(--paper) 30%, transparent) right / 3rem 100% no-repeat local, linear-gradient(to right, var(--shadow), transparent) left / 1rem 100% no-repeat scroll, linear-gradient(to left, var(--shadow), transparent) right / 1rem 100% no-repeat scroll; }
table { border-collapse: collapse; margin-top: .5rem; font-size: .85rem; }
th, td { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid var(--grid); vertical-align: top; }
td { white-space: nowrap; }
th.number { min-width: 4rem; }
caption { text-align: left; font-weight: 600; padding: .5rem .6rem .2rem; }
#results { margin: 1rem 0 1.5rem; }
#results table { width: 100%; font-size: .82rem; }
#results th, #results td { padding: .22rem .5rem; }
th { vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.invalid td { color: var(--warn); }
@media print { .legend button { border: 0; } .numbers { display: none; } }
`;
