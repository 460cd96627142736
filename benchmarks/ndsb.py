"""What each idea of the winners of the National Data Science Bowl 2015 is worth: one table, arm by arm and seed by seed.

    python benchmarks/ndsb.py FOLDER                        # two CPU cores: small nets, four epochs, two hours or more; says how long before it starts
    python benchmarks/ndsb.py FOLDER --estimate             # only says how long
    python benchmarks/ndsb.py FOLDER --full                 # the winners' own nets and schedule: a GPU and a day
    python benchmarks/ndsb.py --budget trial                # drawn plankton, two minutes: does it run?

FOLDER holds one folder of images a class. Their ideas, each an arm: cyclic pooling, rolls, several scales; then what works on any net: test time
augmentation with 1, 8 and 70 views, late fusion of measured features, pseudo-labels, ensembles. `plain`, `pooling` and `rolls` are one stack of
layers without views, with four views that are pooled, and with rolls between them; all else (images, poses, steps, optimiser) is the same within a
budget.

Honest by construction. 10% of the images, stratified, seed 42, are reported on. Of the others 20% (--full: 10%) are a pool: their labels are not even
packed. The rest is learned from. No epoch, no number and no arm is chosen on the reported images. Fusion is fitted on what a net says of the images
it was trained on, beside a control that is told nothing: nets of a constant, which only mend the probabilities. The weights of an ensemble are
cross-fitted: each part of the reported images is judged by what the other parts taught. Teachers of pseudo-labels are averaged with equal weights,
so that no reported label has a say. Seeds change first weights, order and poses,
not the cut; a row is the mean over seeds, with the lowest and highest.

A row is written as soon as it is known, in OUT/rows, and is never computed twice: stop it whenever you like and start it again. Two processes with
other --arms may share OUT (--threads 1, one a core). OUT/table.md and scores.csv are rewritten after each row.
"""
import argparse, os, tempfile, time
p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument('folder', nargs='?', help='class folders of images; none: plankton is drawn')
p.add_argument('--out', help='where rows, nets and the packed images go; default outputs/ndsb-BUDGET, for a trial a temporary folder')
p.add_argument('--budget', default='cpu', choices=('trial', 'cpu', 'full'))
p.add_argument('--full', dest='budget', action='store_const', const='full', help="the winners' recipe, as --budget full")
p.add_argument('--arms', nargs='+', help='only these, in this order; default all')
p.add_argument('--seeds', type=int, help='so many of each net')
p.add_argument('--set', nargs='*', default=[], help='key=value for all recipes, such as epochs=1')
p.add_argument('--estimate', action='store_true', help='say how long it will take, and stop')
p.add_argument('--no-estimate', action='store_true', help='begin at once')
p.add_argument('--threads', type=int, help='of every library; none: one a core')
p.add_argument('--device', help='cpu, cuda; none: the GPU if there is one')
p.add_argument('--json', help='also write the table here')
args = p.parse_args()

from common import set_threads, machine, cpu_seconds, report
set_threads(args.threads)
from functools import cache, partial
from pathlib import Path
import numpy as np, pandas as pd
from fastai.callback.core import Callback, CancelFitException
from zoofast.core import atomic_write, id_keys, plain, read_json, refuse_unknown, write_json
from zoofast.preds import Preds
from zoofast.data.features import measure
from zoofast.data.items import items_from_folder
from zoofast.data.splits import split_items
from zoofast.data.store import Store, pack
from zoofast.data.camera import read_synth
from zoofast.data.synth import synth_items
from zoofast.data.views import view_set
from zoofast.models import cyclic, ndsb
from zoofast.train.metrics import scores
from zoofast.train.spec import Spec
from zoofast.train.recipes import get_recipe
from zoofast.members import as_device, load_model
from zoofast.learner import spec_dls, spec_learner, train
from zoofast.tta import predict_members
from zoofast.committee import combine
from zoofast.weights import cross_fit
from zoofast.selection import choose_members, forward_select
from zoofast.beyond.fusion import fit_fusion
from zoofast.beyond.pseudo import pseudo_targets

# ------------------------------------------------------------------------------------------------ budgets
SMALL = dict(   # the winners' layers with fewer filters, for 47 px: seconds an epoch and core where theirs take minutes
    plain='conv8 conv8 pool conv24 conv12 pool conv48 conv48 conv24 pool flatten drop dense128 drop dense128',
    rolls='conv8 conv8 pool roll conv24 conv12 pool roll conv48 conv48 conv24 pool roll flatten drop dense128 roll drop dense128 rms',
    fixed='conv8 conv8 pool conv16 conv16 pool conv24 conv24 pool flatten drop dense64 roll drop dense64 rms')
FULL = dict(plain='conv32 conv16 pool conv64 conv32 pool conv128 conv128 conv64 pool conv256 conv256 conv128 pool flatten drop linear1024 maxout drop linear1024 maxout')

def register(name, *plans):
    "Make a net of these branches known by name"
    ndsb._nets[name] = plans
    ndsb.NDSB[name] = tuple(i for o in plans for i in o.inputs)
    return name

def nets(budget):
    "{arm: name of its net}; those that are not the winners' own are registered"
    cyclic.GROUPS.setdefault('c1', [(0,0)])                            # no views but the image itself
    plan = lambda words,size,**kw: ndsb._Plan(words, (dict(size=size, fit=kw.pop('fit', f'pad:{85/95}'), turn=0),), **kw)
    if budget=='full':
        return dict(plain=register('bench-plain', plan(FULL['plain'], 95, group='c1')), pooling=register('bench-pooling', plan(FULL['plain']+' rms', 95)),
                    rolls='ndsb-convroll4-maxout', scales='ndsb-triplescale', eight='ndsb-cp8')
    big = plan(SMALL['rolls'], 47)
    return dict(plain=register('bench-small-plain', plan(SMALL['plain'], 47, group='c1')), pooling=register('bench-small-pooling', plan(SMALL['plain']+' rms', 47)),
                rolls=register('bench-small-rolls', big), scales=register('bench-small-scales', big, plan(SMALL['fixed'], 47, fit='scale:0.2')))

_quick = Spec(aug='s1', smoothing=0., options=dict(drop_rate=0.), epochs=4, bs=64, lr=2e-3, wd=.02, clip=1., ema=.999, amp=None, keep='last', tta='none')
BUDGETS = dict(
    trial=dict(n=500, pool=.2, seeds=1, views=('none','halton:8'), fusion=dict(steps=240, runs=2, lr=.01), spec=_quick.with_(epochs=1, ema=None, bs=32)),
    cpu=dict(seeds=3, pool=.2, views=('none','halton:8','halton:70'), many=('plain',), fusion=dict(steps=6000, runs=5, lr=.01), spec=_quick),
    full=dict(seeds=3, pool=.1, views=('none','halton:8','halton:70'), many=None, fusion={}, spec=None))

def settings():
    "What the rows of this folder have in common"
    b = dict(BUDGETS[args.budget])
    if args.seeds: b['seeds'] = args.seeds
    if b['spec']: b['spec'] = b['spec'].with_(*args.set)
    return b

def theirs(n, arm):
    "The winners' recipe: 215,040 steps, whatever the number `n` of training images"
    s = get_recipe('ndsb-cp8' if arm=='eight' else 'ndsb-convroll4-maxout')
    return s.with_(epochs=round(215_040/(n//s.bs)), keep='last', tta='none').with_(*args.set)

@cache
def spec(arm, seed):
    "The recipe of one net; `pseudo` is that of `rolls` with a third of each batch from the pool"
    arch = ARCHS['rolls' if arm=='pseudo' else arm]
    s = B['spec'] or theirs(len(store.rows('train')), arm)
    if arch in ndsb.NDSB:
        main,*more = ndsb.NDSB[arch]
        s = s.with_(arch=arch, size=main['size'], fit=main['fit'], inputs=tuple(more))
    else: s = s.with_(arch=arch, size=47 if B['spec'] else 95, fit=f'pad:{85/95}', opt='adamw', lr=3e-3, wd=.05, schedule='one-cycle', drop=None)
    return s.with_(seed=seed, **(dict(share=.33) if arm=='pseudo' else {}))

# ------------------------------------------------------------------------------------------------ what is kept
def kept(path, make):
    "Preds from a file, or made now and kept"
    if not (f := out/'preds'/f'{path}.parquet').exists(): make().save(f)
    return Preds.load(f)

def net(arm, seed):
    "Folder of a trained net"
    f = out/'nets'/f'{arm}-{seed}'
    if not f.exists():
        say(f'training {arm}, seed {seed}')
        t,c = time.perf_counter(),cpu_seconds()
        soft = dict(soft=teacher(seed)) if arm=='pseudo' else {}
        if train(spec(arm, seed), store, f, device=args.device, **soft).stopped: raise SystemExit('stopped; start again to go on')
        write_json(dict(train_seconds=round(time.perf_counter()-t, 1), train_cpu_seconds=round(cpu_seconds()-c, 1)), out/'cost'/f'{arm}-{seed}.json')
    return f

def said(arm, seed, views, part='valid'):
    "What one net says of a part, averaged over views"
    def ask():
        f,t = net(arm, seed),time.perf_counter()
        p, = predict_members([load_model(f, args.device)], store, store.rows(part), views)
        write_json(dict(predict_seconds=round(time.perf_counter()-t, 1)), out/'cost'/f'{arm}-{seed}-{part}-{views.replace(":", "")}.json')
        return p
    p = kept(f'{arm}-{seed}-{part}-{views.replace(":", "")}', ask)
    if part=='test': assert p.targs is None or (p.targs<0).all(), 'the pool has labels'
    return p

def teacher(seed):
    "Soft targets for the pool: the plain, pooling, rolls and scales nets of this seed, eight views, equal weights"
    return pseudo_targets([said(a, seed, B['views'][min(1, len(B['views'])-1)], 'test') for a in TEACHERS], store)

def row(name, arm, seed, views, make, **more):
    "Write a row, unless it is there"
    if (f := out/'rows'/f'{name}-{seed}-{views.replace(":", "")}.json').exists(): return
    p = kept(f'{name}-{seed}-valid-{views.replace(":", "")}', make)
    cost = {}
    for k in (f'{arm}-{seed}', f'{arm}-{seed}-valid-{views.replace(":", "")}'):
        if (c := out/'cost'/f'{k}.json').exists(): cost |= read_json(c)
    write_json(dict(name=name, seed=seed, views=views, **scores(p), **cost, **more), f)
    tell()

# ------------------------------------------------------------------------------------------------ the arms
def views_of(arm): return B['views'] if B.get('many') is None or arm in B['many'] else B['views'][:2]

def arm_net(arm):
    for s in seeds:
        for v in views_of(arm): row(arm, arm, s, v, partial(said, arm, s, v))

def fused(arm, seed, features):
    "One look at each image, corrected by nets that learned on the training images"
    fu = fit_fusion(said(arm, seed, 'none', 'train'), features, show=False, **B['fusion'])
    return fu.predict(said(arm, seed, 'none'), features)

def arm_fusion():
    t = measure(store, 'moments haralick')
    tables = dict(constant=pd.DataFrame({'constant':1.}, t.index), fusion=t)
    for s in seeds:
        for a in ('plain', 'rolls'):
            for n,o in tables.items(): row(f'{a} + {n}', a, s, 'none', partial(fused, a, s, o))

def everybody(): return {f'{a}-{s}':said(a, s, last) for a in NETS for s in seeds}

def arm_ensemble():
    ways = {'log-loss weights':'logloss', 'forward selection':forward_select, 'chosen by cross-validation':choose_members}
    row('equal weights', 'ensemble', 0, last, lambda: combine(everybody(), rule='probs'))
    for n,m in ways.items(): row(n, 'ensemble', 0, last, lambda: cross_fit(everybody(), 5, m, 'log_loss', rule='probs'))
    if 'pseudo' in arms:
        pupils = lambda: combine([said('pseudo', s, last) for s in seeds], rule='probs')
        row('half equal weights, half pseudo', 'ensemble', 0, last, lambda: combine([combine(everybody(), rule='probs'), pupils()], rule='probs'))

def table():
    "A row a name and view, over seeds: mean, lowest, highest; `gain` over plain (of fusion: over its net) with the same views, `se` its standard error over images"
    rows = pd.DataFrame([read_json(f) for f in sorted((out/'rows').glob('*.json'))])
    if not len(rows): return rows
    for c in ('train_seconds', 'train_cpu_seconds', 'predict_seconds'): rows[c] = rows.get(c, np.nan)
    g = rows.groupby(['name', 'views'], sort=False)
    d = g[['log_loss', 'accuracy', 'top5', 'macro_f1', 'train_seconds', 'train_cpu_seconds', 'predict_seconds']].mean()
    d = d.assign(low=g.log_loss.min(), high=g.log_loss.max(), seeds=g.size()).reset_index()
    gains = [gain(n, v, rows) for n,v in zip(d.name, d.views)]
    d['gain'],d['se'] = [o[0] for o in gains],[o[1] for o in gains]
    order = [*ORDER, *(n for n in d.name if n not in ORDER)]
    return d.iloc[np.lexsort(([list(B['views']).index(v) for v in d.views], [order.index(n) for n in d.name]))].reset_index(drop=True)

def gain(name, views, rows):
    "By how much less log-loss than plain, and a net with fusion than that net: mean over seeds, and standard error over images"
    def loss(n):
        ps = [Preds.load(out/'preds'/f"{n}-{s}-valid-{views.replace(':', '')}.parquet") for s in rows[(rows.name==n) & (rows.views==views)].seed]
        return [-np.log(p.probs[np.arange(len(p)),p.targs].astype(float).clip(1e-15)) for p in ps]
    if name=='plain' or not (base := loss(name.split(' + ')[0] if ' + ' in name else 'plain')): return np.nan,np.nan
    d = np.mean(base, 0)-np.mean(loss(name), 0)
    return d.mean(),d.std()/len(d)**.5

def tell():
    "Print the table, write table.md and scores.csv"
    d = table()
    with atomic_write(out/'scores.csv', newline='') as f: d.to_csv(f, index=False, float_format='%.5f', lineterminator='\n')
    some = lambda a,b: f'{a:.3f} to {b:.3f}' if b-a>5e-4 else ''
    lines = ['| arm | views | log-loss | over seeds | less than plain (with fusion: than without) | top-1 | top-5 | macro-F1 | minutes to train |', '|---|---|---|---|---|---|---|---|---|']
    for r in d.itertuples():
        won = '' if np.isnan(r.gain) else f'{r.gain:+.3f} ± {r.se:.3f}'
        mins = '' if np.isnan(r.train_seconds) else f'{r.train_seconds/60:.1f}'
        lines.append(f'| {r.name} | {r.views} | {r.log_loss:.3f} | {some(r.low, r.high)} | {won} | {r.accuracy:.3f} | {r.top5:.3f} | {r.macro_f1:.3f} | {mins} |')
    with atomic_write(out/'table.md') as f: f.write('\n'.join(lines)+'\n')
    last_row = max((out/'rows').glob('*.json'), key=lambda f: f.stat().st_mtime)
    r = read_json(last_row)
    say(f"{r['name']}, seed {r['seed']}, {r['views']}: log-loss {r['log_loss']:.4f}, top-1 {r['accuracy']:.4f}, top-5 {r['top5']:.4f}, macro-F1 {r['macro_f1']:.4f}")

# ------------------------------------------------------------------------------------------------ how long
class Ticks(Callback):
    "Times of the first training steps, then stops"
    def __init__(self, n): self.n,self.t = n,[]
    def after_batch(self):
        self.t.append(time.perf_counter())
        if len(self.t)>=self.n: raise CancelFitException()

def seconds(arm):
    "(a training epoch, one view of one image), measured on this machine in some seconds"
    s = spec(arm, 0).with_(share=0., epochs=1, amp=None)
    learn = spec_learner(s, spec_dls(s, store, as_device(args.device)), tick := Ticks(10))
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    step = (tick.t[-1]-tick.t[3])/(len(tick.t)-4) if len(tick.t)>5 else tick.t[-1]-tick.t[0]
    rows = store.rows('valid')[:64]
    ts = []
    for _ in range(2):
        t = time.perf_counter()
        predict_members([learn], store, rows, 'none', progress=False)
        ts.append((time.perf_counter()-t)/len(rows))
    return step*len(learn.dls.train),ts[1]

def estimate():
    "Minutes for what is still to be done, arm by arm"
    done = lambda a,s: (out/'nets'/f'{a}-{s}').exists()
    asked = lambda a,s,part,v: (out/'preds'/f"{a}-{s}-{part}-{v.replace(':', '')}.parquet").exists()
    looks = lambda v: len(view_set(v))
    rows = []
    for a in [o for o in [*ARCHS, 'pseudo'] if o in arms]:
        ep,look = seconds(a)
        tr = sum(ep*spec(a, s).epochs for s in seeds if not done(a, s))
        pr = sum(look*looks(v)*len(store.rows('valid')) for s in seeds for v in views_of(a) if not asked(a, s, 'valid', v))
        if 'pseudo' in arms and a in TEACHERS:
            pr += sum(look*looks(v)*len(store.rows('test')) for s in seeds for v in B['views'][1:2] if not asked(a, s, 'test', v))
        rows.append(dict(arm=a, train=tr/60, predict=pr/60))
        if 'fusion' in arms and a in ('plain','rolls'): pr += sum(look*len(store.rows('train')) for s in seeds if not asked(a, s, 'train', 'none'))
    if 'fusion' in arms: rows.append(dict(arm='fusion', train=fusion_seconds()/60, predict=0.))
    d = pd.DataFrame(rows, columns=['arm','train','predict'])
    total = d.train.sum()+d.predict.sum()
    print(d.round(1).to_string(index=False))
    print(f"about {total:.0f} minutes in all with {args.threads or machine()['cores']} threads, at the speed of this minute (load {os.getloadavg()[0]:.1f}); training steps and views were timed for it, ensembles take a minute more", flush=True)
    write_json(dict(minutes=total, arms=d.to_dict('records'), machine=machine()), out/'estimate.json')

def fusion_seconds():
    "Features of all images, and three kinds of nets, twice: to find where to stop, and then to there"
    rng,rows = np.random.default_rng(0),store.rows('valid')
    todo = [(a, s) for a in ('plain','rolls') for s in seeds if not (out/'rows'/f'{a} + fusion-{s}-none.json').exists()]
    if not todo: return 0.
    t = time.perf_counter()
    f = measure(store, 'moments haralick', rows=rows[:256], cache=False, show=False)
    per = (time.perf_counter()-t)/len(f)
    p = Preds(store.ids[rows[:len(f)]], store.vocab, rng.normal(size=(len(f), len(store.vocab))), store.label[rows[:len(f)]])
    kw = B['fusion'] | dict(steps=60)
    t = time.perf_counter()
    fit_fusion(p, f, stop=0, show=False, **kw)
    return per*len(store) + (time.perf_counter()-t)/60*B['fusion'].get('steps', 61_440)*1.5**2*len(todo)

# ------------------------------------------------------------------------------------------------ go
def say(text): print(f'[{(time.perf_counter()-t0)/60:6.1f} min] {text}', flush=True)

def open_store():
    "The packed images in three parts; the labels of the pool are not in it"
    if not (out/'store').exists():
        n = B.get('n')
        if args.folder: items,read = items_from_folder(args.folder),{}
        else: items,read = synth_items(n or 5000, 7, balance=.3),dict(read=read_synth)
        if n and n<len(items): items = items[id_keys(items.id, 42).argsort().argsort()<n].reset_index(drop=True)
        items = split_items(items, valid=.1, seed=42, min_train=2)
        pool = split_items(items[items.split=='train'].assign(split=''), valid=B['pool']/.9, seed=43)
        items.loc[pool.index[pool.split=='valid'],'split'] = 'test'
        pack(items.assign(label=items.label.where(items.split!='test', '')), out/'store', **read)
    return Store(out/'store')

def same_settings():
    "Refuse a folder whose rows were made otherwise"
    f,now = out/'settings.json',plain(dict(budget=args.budget, views=B['views'], fusion=B['fusion'], spec=str(B['spec']), sets=args.set, images=len(store), vocab=len(store.vocab)))
    if not f.exists(): write_json(now, f)
    if (odd := [k for k,v in read_json(f).items() if now[k]!=v]): raise SystemExit(f'{out} was made with another {", ".join(odd)}: choose another --out')

def plot(d, path):
    "Log-loss of each arm: hollow one look, filled the most looks it was given; a line from the lowest to the highest seed"
    from zoofast.science.look import COLORS, MUTED, Picture
    names = list(dict.fromkeys(d.name))
    fig = Picture(figsize=(6, .8+.24*len(names)))
    ax = fig.subplots()
    for i,n in enumerate(names):
        o = d[d.name==n]
        for j,r in enumerate(o.itertuples()):
            y = i+.16*(j-(len(o)-1)/2)
            ax.plot([r.low, r.high], [y, y], color=MUTED, lw=1)
            ax.plot(r.log_loss, y, 'o', ms=5, mec=COLORS[0], mfc='white' if r.views=='none' else COLORS[0], alpha=.6 if 0<j<len(o)-1 else 1)
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names)-.5, -.5), xlabel='log-loss (hollow: one look, filled: 8 or 70)')
    ax.grid(axis='x', lw=.6)
    fig.savefig(path, dpi=110)

def write_result():
    "What `--json` asks for"
    d,base = table(),None
    n = len(store.rows('train'))
    rows = []
    for r in d.to_dict('records'):
        s = spec(r['name'], 0) if r['name'] in [*ARCHS, 'pseudo'] else None
        looked = n*s.epochs if s else None
        base = base or r['log_loss']
        rows.append(dict(r, name=f"{r['name']}, {r['views']}", arm=r['name'], size=s.size if s else spec('plain', 0).size, ratio=r['log_loss']/base,
            images_per_second=looked/r['train_seconds'] if s and r['train_seconds']>0 else None, cpu_us_per_image=r['train_cpu_seconds']/looked*1e6 if s else None))
    args.folder,args.out = args.folder and Path(args.folder).name,None
    plot(d, Path(args.json).with_suffix('.png'))
    report(args, rows, [], show=False, images={o:len(store.rows(o)) for o in ('train','valid','test')}, classes=len(store.vocab))

t0 = time.perf_counter()
out = Path(args.out or (tempfile.mkdtemp() if args.budget=='trial' else f'outputs/ndsb-{args.budget}'))
B = settings()
ARCHS = nets(args.budget)
NETS,TEACHERS = list(ARCHS),('plain','pooling','rolls','scales')
ARCHS |= dict(resnet='resnet10t', resnet4='cyclic:resnet10t')               # today's net, alone and behind the same views: when asked for
ORDER = [*ARCHS, 'pseudo', *(f'{a} + {o}' for a in ('plain','rolls') for o in ('constant','fusion')), 'equal weights', 'log-loss weights', 'forward selection', 'chosen by cross-validation']
ALL = [*ARCHS, 'pseudo', 'fusion', 'ensemble']
NEEDS = dict(pseudo=TEACHERS, fusion=('plain','rolls'), ensemble=NETS)
wanted = [refuse_unknown(a, ALL, 'arm') for a in args.arms or [*NETS, 'pseudo', 'fusion', 'ensemble']]
arms = [a for a in ALL if a in wanted or any(a in NEEDS.get(o, ()) for o in wanted)]
seeds,last = range(B['seeds']),B['views'][-1 if B.get('many') is None else 1]
for o in ('nets','preds','rows','cost'): (out/o).mkdir(parents=True, exist_ok=True)
store = open_store()
same_settings()
print(f"{len(store.rows('train')):,} images to learn from, {len(store.rows('test')):,} without labels, {len(store.rows('valid')):,} to report on, {len(store.vocab)} classes; arms: {', '.join(arms)}; {len(seeds)} seeds", flush=True)
if args.estimate or not args.no_estimate: estimate()
if args.estimate: raise SystemExit
for a in arms: dict(fusion=arm_fusion, ensemble=arm_ensemble).get(a, partial(arm_net, a))()
print((out/'table.md').read_text())
if args.json: write_result()
