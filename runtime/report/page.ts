/** The report's frame: its style sheet (light and dark), and the script for pointer read-outs. No network. */

export const style = `
:root{color-scheme:light dark;--page:#f6f6f4;--card:#fff;--ink:#1a1a19;--soft:#5d5c58;--faint:#8b8a84;--line:#e4e3de;--accent:#1f6fd6;
--s1:#1f6fd6;--s2:#d2601a;--s3:#12866f;--s4:#7a4fc4;--s5:#b03a5b;--s6:#8a7a12;--bad:#c93a32;--good:#12866f;--bar:#dbe8fa}
@media (prefers-color-scheme:dark){:root{--page:#121213;--card:#1b1b1d;--ink:#efeeea;--soft:#b0aea7;--faint:#83817a;--line:#303033;--accent:#6aa7f5;
--s1:#6aa7f5;--s2:#f0924f;--s3:#4cc3a6;--s4:#ae8bf0;--s5:#ea7f9e;--s6:#d0bc45;--bad:#f0766e;--good:#4cc3a6;--bar:#243a57}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px 80px}h1{font-size:30px;line-height:1.15;margin:0 0 6px;letter-spacing:-.015em}
h2{font-size:19px;margin:44px 0 14px;letter-spacing:-.01em}h3{font-size:15px;margin:0}p{margin:0}.lead{color:var(--soft);max-width:76ch}
.grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:18px}.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px;margin:0}
figcaption p,.note{color:var(--soft);font-size:13px}figcaption{margin-bottom:8px}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin-top:26px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 18px}.tile b{display:block;font-size:27px;line-height:1.2;letter-spacing:-.02em;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}.tile small{display:block;color:var(--faint);font-size:12px;margin-top:2px}
svg.chart{width:100%;height:auto;display:block;overflow:visible}.chart .grid{stroke:var(--line);stroke-width:1}.chart text{font-size:11px;fill:var(--soft)}.chart .tick{fill:var(--faint);font-variant-numeric:tabular-nums}
.chart .strong{font-weight:650;fill:var(--ink)}.chart path{fill:none;stroke-linejoin:round;stroke-linecap:round}.chart .line{stroke-width:2}.chart .raw{stroke-width:1;opacity:.28}
.chart .reference{stroke:var(--faint);stroke-width:1;stroke-dasharray:4 4}.chart .end{stroke:var(--card);stroke-width:2}
path.s1{stroke:var(--s1)}path.s2{stroke:var(--s2)}path.s3{stroke:var(--s3)}path.s4{stroke:var(--s4)}path.s5{stroke:var(--s5)}path.s6{stroke:var(--s6)}
circle.s1{fill:var(--s1)}circle.s2{fill:var(--s2)}circle.s3{fill:var(--s3)}circle.s4{fill:var(--s4)}circle.s5{fill:var(--s5)}circle.s6{fill:var(--s6)}
.chart .hair{stroke:var(--faint);stroke-width:1}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-size:12.5px;font-weight:600;color:var(--soft);text-align:left;padding:6px 12px 8px 0;border-bottom:1px solid var(--line);white-space:nowrap}td{padding:9px 12px 9px 0;border-bottom:1px solid var(--line);vertical-align:middle}
tr:last-child td{border-bottom:0}tr.best td:first-child,tr.ours td:first-child{font-weight:650}.cell{display:flex;align-items:center;gap:10px;min-width:120px}.cell i{display:block;height:8px;border-radius:4px;background:var(--bar);flex:none}
tr.ours .cell i{background:var(--accent)}.pictures{display:grid;gap:10px}.row{display:flex;padding:2px;gap:9px;align-items:center}.row figure{margin:0;text-align:center;flex:none}.row img,.thumb{width:72px;height:72px;display:block;border-radius:6px;image-rendering:pixelated;background:var(--line)}
.row figcaption{font-size:10.5px;line-height:1.2;margin:3px 0 0;color:var(--faint);width:72px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.row .query{margin-right:14px}.row .query img{outline:2px solid var(--ink)}.row .wrong img{outline:2px solid var(--bad)}.row .hit img{outline:2px solid var(--good)}
.row .wrong figcaption{color:var(--bad)}.map{display:grid;grid-template-columns:minmax(0,1fr) 190px;gap:20px}@media (max-width:760px){.map{grid-template-columns:1fr}}
.map svg{width:100%;height:auto;display:block}.map circle{stroke:var(--card);stroke-width:.6;cursor:default}.map circle.dim{opacity:.12}.legend{list-style:none;margin:0;padding:0;font-size:13px}.legend li{display:flex;align-items:center;gap:8px;padding:3px 0;cursor:default}
.legend i{width:10px;height:10px;border-radius:50%;flex:none}.peek{height:104px;margin-bottom:14px;display:flex;gap:12px;align-items:center;font-size:13px;color:var(--soft)}.peek div{width:96px;height:96px;border-radius:8px;image-rendering:pixelated;background-color:var(--line);flex:none}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:0;font-size:14px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}pre{margin:0;overflow-x:auto;font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
#tip{position:fixed;pointer-events:none;background:var(--ink);color:var(--page);font-size:12px;line-height:1.45;padding:6px 9px;border-radius:7px;display:none;z-index:2;white-space:nowrap;font-variant-numeric:tabular-nums}
details summary{cursor:pointer;color:var(--soft)}@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
`;

export const script = `
const tip=document.getElementById('tip');
const show=(e,lines)=>{tip.textContent='';lines.forEach((l,i)=>{if(i)tip.append(document.createElement('br'));tip.append(l)});tip.style.display='block';
const w=tip.offsetWidth;tip.style.left=Math.min(e.clientX+14,innerWidth-w-8)+'px';tip.style.top=(e.clientY+14)+'px'};
const fmt=v=>Math.abs(v)>=1000?Math.round(v).toLocaleString('en-US'):String(+v.toPrecision(4));
document.querySelectorAll('svg.chart').forEach(svg=>{const d=JSON.parse(svg.dataset.chart),g=svg.querySelector('.cursor');
svg.addEventListener('pointermove',e=>{const r=svg.getBoundingClientRect(),vx=(e.clientX-r.left)/r.width*svg.viewBox.baseVal.width;
const step=Math.max(0,Math.min(d.steps,(vx-d.x0)/(d.x1-d.x0)*d.steps));let out='',lines=[],x=vx;
d.series.forEach(s=>{let b=s.p[0];for(const p of s.p)if(Math.abs(p[0]-step)<Math.abs(b[0]-step))b=p;x=d.x0+b[0]/Math.max(d.steps,1)*(d.x1-d.x0);
out+='<circle class="end s'+s.c+'" cx="'+x+'" cy="'+b[2]+'" r="4"/>';if(!lines.length)lines.push('step '+fmt(b[0]));lines.push((s.n?s.n+' ':'')+fmt(b[1]))});
g.innerHTML='<line class="hair" x1="'+x+'" x2="'+x+'" y1="12" y2="212"/>'+out;show(e,lines)});
svg.addEventListener('pointerleave',()=>{g.innerHTML='';tip.style.display='none'})});
const map=document.getElementById('map');
if(map){const d=JSON.parse(map.dataset.map),peek=document.getElementById('peek'),text=document.getElementById('peek-text');
const pick=c=>{const i=+c.dataset.i;if(peek&&d.columns){peek.style.backgroundPosition=(-(i%d.columns)*96)+'px '+(-Math.floor(i/d.columns)*96)+'px'}text.textContent=d.names[i]||''};
map.querySelectorAll('circle').forEach(c=>c.addEventListener('pointerenter',()=>pick(c)));
const first=map.querySelector('circle');if(first)pick(first);
document.querySelectorAll('.legend li').forEach(li=>{li.addEventListener('pointerenter',()=>map.querySelectorAll('circle').forEach(c=>c.classList.toggle('dim',c.dataset.c!==li.dataset.c)));
li.addEventListener('pointerleave',()=>map.querySelectorAll('circle').forEach(c=>c.classList.remove('dim')))})}
`;

/** A whole page. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${title}</title><style>${style}</style></head>
<body><main>${body}</main><div id="tip" role="status"></div><script>${script}</script></body></html>
`;
}
