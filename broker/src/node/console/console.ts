/**
 * The console: a page at `/` of the admin port that shows the state of the node and contains a client to try it. Its
 * script is page/main.ts. All its URLs are relative, so that a proxy may serve it under any path.
 */
import { createHash } from 'node:crypto';
import { readPackageFile } from '../../files/package-file.js';

interface ConsolePage {
  readonly html: string;
  /** The value of Content-Security-Policy: only the script in the page may run. */
  readonly policy: string;
}

let page: ConsolePage | null = null;

/** Created at the first request. */
export function consolePage(): ConsolePage {
  page ??= makePage();
  return page;
}

function makePage(): ConsolePage {
  const script = readPackageFile('dist/node/console/page/main.js');
  const policy = [
    "default-src 'none'",
    `script-src '${hashOf(script)}'`,
    `style-src '${hashOf(style)}'`,
    "connect-src 'self' ws: wss:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html: htmlOf(script), policy };
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

const style = `
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --line: #d9dde3; --ink: #1b2430; --soft: #5a6675; --accent: #1f5fbf; --good: #12703a; --bad: #b3261e; --bad-ground: #fdeceb; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --card: #1a2029; --line: #313b48; --ink: #e8edf3; --soft: #9fabba; --accent: #7fb0ff; --good: #63d294; --bad: #ff8a80; --bad-ground: #3a1d1d; }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header, main { max-width: 70rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: .35rem 1rem; align-items: baseline; padding-bottom: 0; }
h1 { font-size: 1.35rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .6rem; }
header p { margin: 0; color: var(--soft); }
header a { margin-left: auto; }
a { color: var(--accent); }
#state { padding: .7rem 1rem; border: 1px solid var(--line); border-left: .35rem solid var(--good); border-radius: .4rem; background: var(--card); font-weight: 600; }
#state.bad { border-color: var(--bad); background: var(--bad-ground); color: var(--bad); }
#figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(14.5rem, 1fr)); gap: .75rem; margin: 0; }
.figure { display: grid; grid-template-columns: 1fr 5.5rem; align-items: end; padding: .7rem .9rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--card); }
.figure dt { grid-column: 1 / 3; color: var(--soft); font-size: .85rem; }
.figure dd { margin: 0; }
.figure .value { font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figure .note { grid-column: 1 / 3; min-height: 1.3rem; color: var(--soft); font-size: .8rem; }
.figure.bad { border-color: var(--bad); background: var(--bad-ground); }
.figure.bad .value, .figure.bad .note { color: var(--bad); }
.figure svg { width: 5.5rem; height: 2rem; color: var(--accent); }
.figure.bad svg { color: var(--bad); }
form { display: flex; flex-wrap: wrap; gap: .5rem .75rem; align-items: end; margin-bottom: .6rem; }
label { display: grid; gap: .15rem; color: var(--soft); font-size: .85rem; flex: 1 1 12rem; }
input, button { font: inherit; padding: .4rem .65rem; border: 1px solid var(--line); border-radius: .35rem; background: var(--card); color: var(--ink); }
input { font-family: ui-monospace, monospace; font-size: .9rem; width: 100%; }
button { cursor: pointer; border-color: var(--accent); color: var(--accent); font-weight: 600; }
button:disabled { cursor: default; opacity: .5; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
#seen { height: 15rem; overflow: auto; margin: 0; padding: .6rem .9rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--card); font: .85rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
`;

function htmlOf(script: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fanfare</title>
<style>${style}</style>
</head>
<body>
<header><h1>Fanfare</h1><p id="about"></p><a href="metrics">metrics</a></header>
<main>
<p id="state" role="status">Loading …</p>
<h2>Now</h2>
<dl id="figures"></dl>
<h2>Try it</h2>
<form id="connect">
<label>URL for clients <input id="url" type="url" required autocomplete="off" spellcheck="false"></label>
<label id="with-token" hidden>Token <input id="token" type="password" autocomplete="off"></label>
<button>Connect</button>
</form>
<form id="subscribe">
<label>Topic <input id="topic" value="news" required autocomplete="off" spellcheck="false"></label>
<button disabled>Subscribe</button>
</form>
<form id="publish">
<label>JSON to publish <input id="data" value='{"title":"hello"}' required autocomplete="off" spellcheck="false"></label>
<button disabled>Publish</button>
</form>
<pre id="seen" role="log" tabindex="0" aria-label="Messages sent and received"></pre>
</main>
<script type="module">${script}</script>
</body>
</html>
`;
}
