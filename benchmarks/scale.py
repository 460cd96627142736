"""Does the cost of an image stay the same from ten thousand images to a million?

Claim: packing, sampling and training cost the same time an image at 10 k and at 1.09 M images (the ratio of the largest to the smallest
n is near 1), opening a Store takes milliseconds at any size, and none of it needs more than 3 GB beyond the page cache.

    python benchmarks/scale.py --json scale.json                 # 10 k, 30 k, 100 k, 300 k images
    python benchmarks/scale.py --full --json scale.json          # and ZooCAM at full size: 1,093,785 images; 25 GB of disk
    python benchmarks/scale.py --quick                           # a minute, to see it work

How: images have ZooCAM's 86 class counts and its percentiles of the width (5, 21, 30, 43, 64, 94, 173, 321, 1288 px); they are windows of
a sheet of some thousand drawn animals, each at its own place, cut out by the reader while it packs. So packing is measured without drawing
(`draw_us` in the JSON) and without decoding files: what is left is cutting (`read_us`), hashing, the border's median, the histogram, and
writing pixels and tables. Each phase runs in a process of its own, its imports and JIT compilation are not timed, and RssAnon + RssShmem
of it and its children are added up every 50 ms; pages that a fork shares count once for each, so memory errs on the high side.

pack: table of items, stratified split, pixels, index.   open: the store, its repr and its last image; fresh processes.
sample: whole epochs of the train DataLoader (weights n_c^-1/2, augmented), without a net; the first batch, with all that is set up for
an epoch, is in it and also given apart (`start_seconds`).   train: a step of 64 images through a small net, the median of `--steps`.
Numbers are medians of `--rounds` processes or epochs; above 300,000 images packing and sampling run once. Files are in the page cache
where it is large enough. The JSON is written after each phase, a plot at the end of each n.
"""
import argparse, json, os, shutil, statistics as st, sys, time, warnings
from functools import cache
from pathlib import Path
import numpy as np
from common import cache_dir, cpu_seconds, report, set_threads, watch

COUNTS = [283662,177977,125259,87912,37311,34423,30522,25953,22910,21762,21004,16825,16703,15519,13176,12939,12843,11778,10729,9201,7459,6980,6003,
    5583,5351,5176,4789,4626,4175,4094,4065,3295,3209,3203,2836,2251,2236,2234,2172,1814,1674,1661,1435,1305,1285,1265,1138,1062,950,796,763,644,642,
    624,581,559,495,458,451,439,432,424,360,352,336,329,288,274,253,253,244,232,217,217,170,159,155,142,115,109,106,100,90,86,83,73]
FULL = sum(COUNTS)                                # 1,093,785
WIDTHS = {4.6e-7:5, .01:21, .05:30, .25:43, .5:64, .75:94, .95:173, .99:321, 1-4.6e-7:1288} # share of images below -> px
SHEET,LARGE = 4096,300_000                        # side of the sheet; images above which nothing is repeated

def draw_sheet(path):
    "Animals side by side on one large image"
    from zoofast.data.synth import synth_items
    from zoofast.data.camera import read_synth
    sheet,(x,y,deep) = np.full((SHEET, SHEET), 245, np.uint8),(0,0,0)
    for p in synth_items(20000, seed=7).path:
        im = read_synth(p)
        h,w = im.shape
        if x+w>SHEET: x,y,deep = 0,y+deep,0
        if y+h>SHEET: break
        sheet[y:y+h, x:x+w] = im
        x,deep = x+w,max(deep, h)
    tmp = path.with_suffix('.partial.npy')
    np.save(tmp, sheet)
    os.replace(tmp, path)

def draw_cost(n=300):
    "us to draw an image"
    from zoofast.data.synth import synth_items
    from zoofast.data.camera import read_synth
    items,t = synth_items(n, seed=8).path,time.perf_counter()
    for p in items: read_synth(p)
    return (time.perf_counter()-t)/n*1e6

@cache
def sheet(): return np.load(cache_dir()/'sheet.npy', mmap_mode='r')

def read_window(path):
    "The reader: 'window:y:x:h:w' -> pixels"
    y,x,h,w = map(int, path.split(':')[1:])
    return np.array(sheet()[y:y+h, x:x+w])

def windows(n, seed=0):
    "Items: labels in ZooCAM's proportions, sides by its percentiles"
    import pandas as pd
    from zoofast.data.splits import split_items
    rng,z = np.random.default_rng(seed),[st.NormalDist().inv_cdf(o) for o in WIDTHS]
    counts = np.maximum(2, np.floor(np.array(COUNTS)*n/FULL).astype(int))
    counts[0] += n-counts.sum()
    label = rng.permutation(np.repeat([f'class_{k:02d}' for k in range(len(COUNTS))], counts))
    w = np.exp(np.interp(rng.standard_normal(n), z, np.log(list(WIDTHS.values())))).round().astype(int)
    w[:2] = 5,1288
    h = np.clip(w*rng.uniform(.6, 1.5, n), 5, 1288).astype(int)
    y,x = (rng.random((2, n))*(SHEET-np.stack([h,w]))).astype(int)
    path = [f'window:{a}:{b}:{c}:{d}' for a,b,c,d in zip(y.tolist(), x.tolist(), h.tolist(), w.tolist())]
    items = pd.DataFrame(dict(id=[f'{i:07d}' for i in range(n)], path=path, label=label, split='', sample=''), dtype='str')
    return split_items(items, valid=.1)

def pack(a):
    from scale import read_window                 # by the name under which workers can import it
    from zoofast.data.store import pack
    windows(1000)                                 # imports
    t,cpu = time.perf_counter(),cpu_seconds()
    items = windows(a.images)
    made = time.perf_counter()-t
    store = pack(items, a.store, read=read_window, workers=a.threads if a.images>=500 else 0, overwrite=True, progress=False)
    sec,cpu = time.perf_counter()-t,cpu_seconds()-cpu
    for p in items.path[:2000]: read_window(p)
    t = time.perf_counter()
    for p in items.path[:2000]: read_window(p)
    return len(store),sec,dict(cpu=cpu, table_seconds=made, read_us=(time.perf_counter()-t)/min(2000, len(items))*1e6)

def open_(a):
    from zoofast.data.store import Store
    t = time.perf_counter()
    store = Store(a.store)
    repr(store), store[len(store)-1].sum()
    return len(store),time.perf_counter()-t,dict(cpu=0.)

def make_dls(a, store):
    from zoofast.data.dls import store_dls
    return store_dls(store, size=a.size, bs=64, alpha=.5, device='cpu')

def sample(a):
    "Epochs of batches that nobody looks at"
    from zoofast.data.store import Store
    store = Store(a.store)
    next(iter(make_dls(a, store).train))          # compiles
    t,cpu = time.perf_counter(),cpu_seconds()
    dls = make_dls(a, store)
    res,start = [],None
    for _ in range(a.rounds):
        n = 0
        for b in dls.train:
            if start is None: start = time.perf_counter()-t
            n += len(b[0])
        res.append((time.perf_counter()-t, cpu_seconds()-cpu))
        t,cpu = time.perf_counter(),cpu_seconds()
    sec,cpu = map(st.median, zip(*res))
    return n,sec,dict(cpu=cpu, start_seconds=start)

def train(a):
    "The median of the steps of a small net; the first three are left out"
    from fastai.callback.core import Callback, CancelFitException
    from zoofast.data.store import Store
    from zoofast.learner import zoo_learner
    times = []
    class Stop(Callback):
        def after_batch(self):
            times.append((time.perf_counter(), cpu_seconds()))
            if len(times)>=a.steps+3: raise CancelFitException()
    learn = zoo_learner(make_dls(a, Store(a.store)), a.net, amp='auto', channels_last=True, cbs=Stop(), seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1+a.steps*64//a.images*2)
    sec,cpu = (st.median(y[k]-x[k] for x,y in zip(times[2:], times[3:])) for k in (0, 1))
    return 64,sec,dict(cpu=cpu)

PHASES = dict(pack=pack, open=open_, sample=sample, train=train)

def one(a):
    "One phase, in this process"
    warnings.filterwarnings('ignore')
    if a.size:
        import torch
        torch.set_num_threads(a.threads)
    n,sec,more = PHASES[a.phase](a)
    print(json.dumps(dict(images=n, seconds=sec)|more))

def phase(name, n, a, argv, repeat=1, size=None):
    "A phase in processes of its own"
    argv = [*argv, '--phase', name, '--images', str(n)] + (['--size', str(size)] if size else [])
    runs = []
    for _ in range(repeat):
        text,peak = watch([sys.executable, __file__, *argv])
        runs.append(json.loads(text.splitlines()[-1])|dict(peak=peak))
    mid = {k:st.median(o[k] for o in runs) for k in runs[0]}
    k = mid['images']
    row = dict(name=name+(f' {size} px' if size else ''), size=n, images_per_second=k/mid['seconds'], cpu_us_per_image=mid['cpu']/k*1e6, ratio=None,
        us_per_image=mid['seconds']/k*1e6, seconds=mid['seconds'], peak_mb=max(o['peak'] for o in runs)/1e6)
    if name=='open': row |= dict(images_per_second=None, cpu_us_per_image=None, us_per_image=None)
    row |= {k:mid[k] for k in ('start_seconds', 'table_seconds', 'read_us') if k in mid}
    cost = '' if name=='open' else f"{row['us_per_image']:,.1f} us an image, "
    print(f"{n:,} images: {row['name']}: {cost}{row['seconds']:.3g} s, {row['peak_mb']:,.0f} MB", flush=True)
    return row

def with_ratios(rows):
    "Cost of an image (for `open`: the whole cost) over that at the smallest n"
    def cost(o): return o['us_per_image'] or o['seconds']
    first = {}
    for o in rows: o['ratio'] = cost(o)/first.setdefault(o['name'], cost(o))
    return rows

def plot(rows, file):
    "Cost of an image against n; memory and disk against n"
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter
    names = list(dict.fromkeys(o['name'] for o in rows))
    fig,axs = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    ends = []
    for k,name in enumerate(names):
        o = [r for r in rows if r['name']==name]
        x,c = [r['size'] for r in o],f'C{k}'
        if name!='open':
            y = [r['us_per_image'] for r in o]
            axs[0].plot(x, y, 'o-', c=c)
            ends.append((y[-1], x[-1], name, c))
        axs[1].plot(x, [r['peak_mb']/1e3 for r in o], 'o-', c=c, label=f'memory: {name}')
    low = 0
    for y,x,name,c in sorted(ends):               # names at the ends of the lines, none on top of another
        low = max(y, low*1.6)
        axs[0].annotate(f'{name}: {y:,.0f}', (x, y), (x*1.15, low), c=c, va='center')
    disk = [r for r in rows if 'gb' in r]
    axs[1].plot([r['size'] for r in disk], [r['gb'] for r in disk], 's--', c='k', label='store on disk')
    axs[0].set(title='Cost of an image', ylabel='µs, wall', ylim=(1, None))
    axs[1].set(title='Memory beyond the page cache, and disk', ylabel='GB')
    axs[1].legend(frameon=False, fontsize=8)
    big = FuncFormatter(lambda v,_: f'{v/1e6:g} M' if v>=1e6 else f'{v/1e3:g} k' if v>=1e3 else f'{v:g}')
    ns = sorted({r['size'] for r in rows})
    for ax in axs:
        ax.set(xscale='log', yscale='log', xlabel='images')
        ax.set_xticks(ns, minor=False)
        ax.minorticks_off()
        ax.xaxis.set_major_formatter(big)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v,_: f'{v:g}'))
        ax.grid(alpha=.3)
        ax.spines[['top', 'right']].set_visible(False)
    axs[0].set_xlim(None, ns[-1]*(ns[-1]/ns[0])**.5)
    fig.savefig(file, dpi=130)
    plt.close(fig)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, nargs='+', default=[10_000, 30_000, 100_000, 300_000], help='numbers of images, ascending')
    p.add_argument('--full', action='store_true', help=f'and {FULL:,}')
    p.add_argument('--sizes', type=int, nargs='+', default=[64, 128], help='pixels, of the batches')
    p.add_argument('--steps', type=int, default=60, help='training steps of 64 images')
    p.add_argument('--net', default='resnet10t', help='a timm net')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--store', type=Path, help='where to pack; default: in ~/.cache/zoofast/bench, removed afterwards')
    p.add_argument('--quick', action='store_true', help='a minute, to see it work: 1,000 and 3,000 images')
    for k,kind in dict(phase=str, images=int, size=int).items(): p.add_argument(f'--{k}', type=kind, help=argparse.SUPPRESS)
    p.add_argument('--plot', type=Path, help='PNG; default: beside the JSON')
    p.add_argument('--json')
    a = p.parse_args()
    if a.quick: a.n,a.sizes,a.steps,a.rounds = [1000, 3000],[64],5,1
    a.threads,a.store = set_threads(a.threads),a.store or cache_dir()/f'scale-{os.getpid()}.store'
    if a.phase: return one(a)
    file,rows = cache_dir()/'sheet.npy',[]
    if not file.exists(): draw_sheet(file)
    more = dict(draw_us=draw_cost())
    png = a.plot or (Path(a.json).with_suffix('.png') if a.json else None)
    cols = ['name', 'size', 'us_per_image', 'cpu_us_per_image', 'ratio', 'seconds', 'start_seconds', 'peak_mb', 'gb', 'table_seconds', 'read_us']
    def run(name, n, repeat, rounds=1, size=None):
        argv = [o for k in ('steps', 'net', 'threads', 'store') for o in (f'--{k}', str(getattr(a, k)))] + ['--rounds', str(rounds)]
        rows.append(phase(name, n, a, argv, repeat, size))
        if name=='pack': rows[-1]['gb'] = sum(f.stat().st_size for f in a.store.iterdir())/1e9
        report(a, with_ratios(rows), cols, show=False, **more)
    try:
        for n in [*a.n, *([FULL] if a.full else [])]:
            run('pack', n, max(1, min(a.rounds, LARGE//n)))
            run('open', n, a.rounds)
            for s in a.sizes: run('sample', n, 1, a.rounds if n<=LARGE else 1, s)
            run('train', n, 1, size=a.sizes[0])
            if png: plot(rows, png)
    except KeyboardInterrupt: print('interrupted')
    finally:
        for o in (a.store, a.store.with_name(a.store.name+'.partial')): shutil.rmtree(o, ignore_errors=True)
    report(a, rows, cols, **more)

if __name__=='__main__': main()
