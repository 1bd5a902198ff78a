/** How the report looks. Colours are the palette's alone; everything else is layout, for 400 CSS pixels and up. */
import { colourProperties, HEATS } from './palette.ts';

const LAYOUT = `
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1.5rem}
h1,h2,h3,p,figure,dl,dd,ul,ol,pre{margin:0;padding:0}
h1{font-size:clamp(2rem,5vw,3rem);line-height:1.1;letter-spacing:-.025em;font-weight:700}
h2{font-size:1.5rem;line-height:1.2;letter-spacing:-.015em;margin-bottom:1rem}
h3{font-size:1rem;margin-bottom:1rem}
a{color:var(--accent);text-underline-offset:.2em}
a:focus-visible,summary:focus-visible,input:focus-visible+label{outline:2px solid var(--accent);outline-offset:3px;border-radius:.25rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.8125rem}
.note{color:var(--muted);font-size:.875rem}
.lead{color:var(--muted);max-width:44rem;margin-bottom:1.25rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.good{--verdict:var(--good);--verdict-soft:var(--good-soft)}
.bad{--verdict:var(--bad);--verdict-soft:var(--bad-soft)}
.unsure{--verdict:var(--unsure);--verdict-soft:var(--unsure-soft)}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.card{background:var(--card);border:1px solid var(--line);border-radius:1rem;padding:1.5rem}
.columns{display:grid;gap:1.25rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));align-items:start}
section{padding-top:3.5rem}

header{padding-top:3rem}
.hero{display:grid;grid-template-columns:24rem minmax(0,1fr);gap:3rem;align-items:start}
.good .hero{align-items:center}
.eyebrow{text-transform:uppercase;letter-spacing:.12em;font-size:.75rem;font-weight:600;color:var(--muted);margin-bottom:.75rem}
.verdict{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem .9rem;margin-top:1.1rem}
.badge{display:inline-block;white-space:nowrap;padding:.1rem .65rem;border-radius:2rem;font-size:.875rem;font-weight:600;color:var(--verdict);background:var(--verdict-soft)}
.verdict .badge{font-size:1.125rem;padding:.3rem 1.1rem}
.objections{list-style:none;margin-top:1.25rem;display:grid;gap:.5rem}
.objections li{background:var(--verdict-soft);border-left:.25rem solid var(--verdict);border-radius:.25rem .6rem .6rem .25rem;padding:.6rem .9rem;font-size:.9375rem}
.objections a{color:var(--verdict);font-weight:600}
.facts{display:flex;flex-wrap:wrap;gap:1rem 2.25rem;margin-top:1.75rem}
.facts div,.figures div{display:flex;flex-direction:column-reverse}
.facts dt,.figures dt{color:var(--muted);font-size:.8125rem}
.facts dd{font-size:1.5rem;font-weight:600;letter-spacing:-.01em;line-height:1.3;font-variant-numeric:tabular-nums}
.facts.small{gap:.75rem 2rem;padding-top:1.25rem;margin-top:1.25rem;border-top:1px solid var(--line)}
.facts.small dd{font-size:1rem}
nav{display:flex;flex-wrap:wrap;gap:.4rem 1.6rem;margin-top:2.5rem;padding:.9rem 0;border-block:1px solid var(--line);font-size:.9375rem}
nav a{text-decoration:none}
nav a:hover{text-decoration:underline}

figure{min-width:0}
img{display:block;width:100%;height:auto;border-radius:.75rem;background:var(--track)}
.enlarged img,img.enlarged{image-rendering:pixelated}
figcaption{color:var(--muted);font-size:.875rem;margin-top:.6rem}
.clip{position:relative}
.clip input{position:absolute;top:.75rem;right:.75rem;opacity:0;width:6rem;height:1.9rem;margin:0;cursor:pointer}
.clip label{position:absolute;top:.75rem;right:.75rem;background:var(--card);border-radius:2rem;padding:.15rem .8rem;font-size:.8125rem;cursor:pointer}
.clip .still,.clip .if-reduced{display:none}
.clip :checked~.still{display:block}
.clip :checked~.moving{display:none}
.clip :checked~label .if-moving{display:none}
.clip :checked~label .if-reduced{display:inline}
.nothing{display:grid;place-items:center;text-align:center;aspect-ratio:1;padding:1rem;background:var(--well);border:1px dashed var(--line);border-radius:.75rem;color:var(--muted);font-size:.875rem}
.strip{list-style:none;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(9rem,calc(50% - .5rem)),1fr));gap:1rem}
.strip.many{grid-template-columns:repeat(auto-fill,minmax(min(6.5rem,calc(33.3% - .7rem)),1fr))}
.strip figure{max-width:17.5rem}

table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.75rem .75rem;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
tbody:last-child tr:last-child>*{border-bottom:0}
th{font-weight:600}
thead th,.budgets th{overflow-wrap:break-word}
th.n,td.n{text-align:right}
thead th{padding-top:0;color:var(--muted);font-size:.8125rem}
.checks td:nth-child(3){width:62%}
.checks .note{margin-top:.2rem}
.checks .unit{display:none}
details{margin-top:.5rem;font-size:.875rem}
summary{cursor:pointer;color:var(--accent);width:fit-content}
.figures{display:flex;flex-wrap:wrap;gap:.6rem 1.75rem;margin-top:.75rem}
.figures dd{font-variant-numeric:tabular-nums}

.timeline th,.timeline td{border:0;padding-block:.3rem;vertical-align:middle}
.timeline th{font-weight:400;width:1%;white-space:nowrap}
.timeline .n{width:1%}
.bar{display:block;height:.875rem;min-width:3px;border-radius:.25rem;background:var(--bar)}
.bar.rest{background:var(--rest)}
.bar.over{background:var(--bad)}
.budgets th,.budgets td{border:0;padding-bottom:.25rem}
.budgets tr+tr td{padding:0 0 .75rem}
.budgets thead th{padding-bottom:.25rem}
.budgets .good,.budgets .bad{color:var(--verdict);font-weight:600}
.track{display:block;position:relative;background:var(--track);border-radius:.25rem;overflow:hidden}
.limit-line{position:absolute;inset-block:0;width:3px;background:var(--ink)}
.card .figures{margin-top:1rem}
#limit .timeline{margin:1rem 0}

.heat{font-variant-numeric:tabular-nums;font-size:.8125rem;border-collapse:separate;border-spacing:3px;table-layout:fixed}
.heat th,.heat td{border:0;padding:.3rem .2rem;text-align:center;vertical-align:middle;border-radius:.3rem}
.heat td{padding-inline:0;white-space:nowrap;font-size:.75rem}
.heat th:first-child{text-align:left;padding-left:0;font-weight:500}
.heat tfoot th,.heat tfoot td{font-weight:700}
.heat .no-change{color:var(--muted)}
.legend{display:flex;flex-wrap:wrap;align-items:center;gap:.35rem;margin-top:1rem;font-size:.8125rem}
.legend span+span{padding:.1rem .55rem;border-radius:.3rem}
ul.note{padding-left:1.1rem;margin-top:1rem}

pre{background:var(--well);border-radius:.6rem;padding:1rem;white-space:pre-wrap;line-height:1.5}
pre b{color:var(--accent);font-weight:500}
.inputs{list-style:none;display:grid;gap:1rem}
.inputs li{display:grid;grid-template-columns:1fr auto;gap:.1rem 1rem}
.inputs li>:nth-child(n+3){grid-column:1/-1}
code{color:var(--muted)}
p code{color:inherit}
.files th{font-weight:400}
.files th,.files td{padding-block:.45rem}
.tag{display:inline-block;margin-left:.35rem;padding:0 .5rem;border-radius:1rem;background:var(--well);color:var(--muted);font-size:.75rem}
footer{padding-block:3rem;color:var(--muted);font-size:.875rem}

@media (min-width:75rem){
.heat{display:flex}
.heat thead,.heat tbody,.heat tfoot{display:flex}
.heat tbody{flex:1}
.heat tr{display:flex;flex-direction:column;gap:3px;flex:1;min-width:0;margin-right:3px}
.heat thead{flex:none;max-width:10rem}
.heat thead tr{margin-right:.75rem}
.heat th,.heat td{display:flex;align-items:center;justify-content:center;height:1.9rem;white-space:nowrap}
.heat thead th{padding:.3rem 0;justify-content:flex-start;overflow:hidden}
.heat th:first-child{padding-inline:0;font-size:.6875rem}
.heat thead th:first-child{font-size:.8125rem}
.heat tfoot{margin-left:.5rem;min-width:2.5rem}
}
@media (max-width:62rem){
.hero{grid-template-columns:minmax(0,1fr);gap:1.75rem}
.clip{max-width:24rem}
}
@media (max-width:44rem){
header,main,footer{padding-inline:1rem}
header{padding-top:1.5rem}
section{padding-top:2.5rem}
.card{padding:1rem}
nav{gap:.3rem 1.1rem}
.budgets th,.budgets td{font-size:.875rem}
.budgets th+th,.budgets th~td{padding-inline:.3rem}
.budgets :last-child{padding-right:0}
.checks thead{position:absolute;clip-path:inset(50%)}
.checks tr{display:grid;grid-template-columns:1fr auto;padding-block:.9rem;border-bottom:1px solid var(--line)}
.checks tr:first-child{padding-top:0}
.checks tr:last-child{padding-bottom:0;border:0}
.checks th,.checks td{border:0;padding:0}
.checks td:nth-child(3){grid-column:1/-1;width:auto;margin-top:.4rem}
.checks td:last-child{grid-column:1/-1;color:var(--muted);font-size:.8125rem;text-align:left;margin-top:.3rem}
.checks .unit{display:inline}
.files thead{position:absolute;clip-path:inset(50%)}
.files tr{display:grid;grid-template-columns:1fr auto;gap:0 1rem;padding-block:.6rem;border-bottom:1px solid var(--line)}
.files th,.files td{border:0;padding:0}
.files td:last-child{grid-column:1/-1}
#limit tr{display:grid;grid-template-columns:1fr auto;align-items:center;gap:0 1rem;padding-block:.4rem}
#limit th,#limit td{width:auto;padding:0;white-space:normal}
#limit th{grid-column:1/-1}
#limit td.note{grid-column:1/-1;text-align:left}
}
@media (prefers-reduced-motion:reduce){
html{scroll-behavior:auto}
.clip .moving,.clip .if-moving{display:none}
.clip .still{display:block}
.clip .if-reduced{display:inline}
.clip :checked~.still{display:none}
.clip :checked~.moving{display:block}
.clip :checked~label .if-moving{display:inline}
.clip :checked~label .if-reduced{display:none}
}
@media print{
nav,.clip label{display:none}
section,tr{break-inside:avoid}
}
`;

const HEAT = HEATS.map((heat) => `.heat-${heat}{background:var(--heat-${heat});color:var(--on-heat-${heat})}`).join(
  '\n',
);

export const STYLE = `${colourProperties()}${LAYOUT}${HEAT}`;
