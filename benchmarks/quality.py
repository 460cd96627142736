"""How long until a net is as good as fastai makes it in ten minutes?

Claim (a target until a stored result says more): on the 121 classes of the National Data Science Bowl and two CPU cores, zoofast reaches
the macro-F1 that plain fastai has after ten minutes within 3.5 minutes, with the same backbone.

    python benchmarks/quality.py --data FOLDER --json quality.json     # class folders, such as NDSB's; a quarter of an hour
    python benchmarks/quality.py --minutes 1 --n 2000                  # two minutes, to see it work; --quick is smaller still

How: 10% of the images are held out, stratified, seed 42; both sides are scored on them after each epoch. Nothing is tuned on them: the
share of small images, the weights and the length of the average, below, were tried with `--inner --n 8000 --epochs 6`, which sets the held-out images
aside and holds out others; each side shows the score of its last state, never its best. First, a
block of fastai's training steps is timed, and the number of epochs E chosen so that fastai needs `--minutes`. Then both train for E
epochs of the same one-cycle (peak 3e-3 after a quarter, AdamW, weight decay .05), batches of 64, label smoothing .1, the same net
(as many parameters: checked), flips, rotation by 180 degrees and zoom by 1.2, all cores. The clock runs from the call of fit, with
validation on both sides and all that fit does first, such as starting workers or measuring bf16; JIT compilation and reading files into
the page cache come before. The answer is the end of the first epoch at which zoofast has the score that fastai has at the end; nothing
is interpolated. Packing the store happens once, for any number of trainings: it is given apart, and as included.

fastai: DataBlock over files (PILImageBW, Resize with padding, aug_transforms, Normalize), one worker a core, Learner over the timm net,
float32, as its mixed precision does nothing on a CPU.   zoofast: a packed Store; bf16 where it is measured to be faster, channels-last;
48 instead of 64 px for the first half of the epochs, images drawn with weights n_c^-1/2 of their class in the second half, and an average of
the weights over a twentieth of the steps, which is what is validated. `--plain` leaves out these three, `--meta` adds the size of the image as an input, as zoofast's recipes do.
resnet10t at 64 px: the smallest ResNet of timm that is not a test, and the one with which ten minutes on two cores give enough epochs
(4 or more) for a one-cycle to make sense. The JSON is written after each epoch.
"""
import argparse, statistics as st, tempfile, time, warnings
from pathlib import Path
from common import BS, ROT, ZOOM, cpu_seconds, fastai_block, files, report, set_threads, workers

LR,WD,SMOOTH = 3e-3,.05,.1
EARLY,AVERAGE = .5,.05                            # share of the epochs at 3/4 of the size; of the steps that are averaged

def fastai_learner(a, items, store, seed, cbs=None):
    "What a user of fastai would write"
    import timm
    from fastai.vision.all import CrossEntropyLossFlat, IndexSplitter, Learner
    from zoofast.core import seed_all
    from zoofast.train.metrics import MacroF1
    seed_all(seed)
    path,label = items.path.tolist(),dict(zip(items.path, items.label))
    split = IndexSplitter([i for i,o in enumerate(items.split) if o=='valid'])
    block = fastai_block(store.vocab, label.get, split, a.size, store.mean, store.std, True)
    dls = block.dataloaders(path, bs=BS, num_workers=workers(), device='cpu')
    net = timm.create_model(a.arch, in_chans=1, num_classes=len(store.vocab))
    return Learner(dls, net, loss_func=CrossEntropyLossFlat(label_smoothing=SMOOTH), metrics=MacroF1(), lr=LR, wd=WD, cbs=cbs)

def spec(a, epochs, steps, seed):
    "zoofast's side, as a recipe"
    from zoofast.train.recipes import Spec
    early = int(EARLY*epochs)
    mix = [] if a.plain or not early else [[early, 0., SMOOTH], [epochs-early, .5, SMOOTH]]
    size = a.size if a.plain or not early else {0:a.size*3//4, early:a.size}
    aug = dict(rot=float(ROT), scale=(1/ZOOM, ZOOM), hflip=.5, vflip=.5)
    return Spec(arch=a.arch, size=size, eval_size=a.size, aug=aug, smoothing=SMOOTH, phases=mix, epochs=epochs, bs=BS, lr=LR, wd=WD, meta=a.meta,
        ema=None if a.plain else 1-1/max(10, AVERAGE*epochs*steps), keep='last', seed=seed)

def clock(done):
    "A callback that notes minutes and macro-F1 at the end of each epoch, and hands them on"
    from fastai.callback.core import Callback
    class Clock(Callback):
        order = 70
        def after_epoch(self):
            log = dict(zip(self.recorder.metric_names, self.recorder.log))
            self.points.append(dict(epoch=self.epoch+1, minutes=(time.perf_counter()-self.t)/60, macro_f1=float(log['macro_f1']), valid_loss=float(log['valid_loss'])))
            done(self.points)
        def start(self): self.points,self.t,self.cpu = [],time.perf_counter(),cpu_seconds()
    return Clock()

def fastai_epoch(a, items, store, steps):
    "Seconds of an epoch, from a block of training steps; a validation batch counts for a third of one"
    from fastai.callback.core import Callback, CancelFitException
    times = []
    class Stop(Callback):
        def after_batch(self):
            times.append(time.perf_counter())
            if len(times)>=steps+8: raise CancelFitException()
    learn = fastai_learner(a, items, store, 0, Stop())
    with learn.no_bar(), learn.no_logging(): learn.fit(1, LR)
    if len(times)<10: raise SystemExit('There are too few images to time steps: raise --n.')
    return (times[-1]-times[7])/(len(times)-8)*(len(learn.dls.train)+len(learn.dls.valid)/3)

def run(kind, a, items, store, epochs, seed, done):
    "Train one side: its curve, and CPU seconds"
    from zoofast.learner import spec_dls, spec_learner
    tick = clock(done)
    if kind=='fastai': learn = fastai_learner(a, items, store, seed, tick)
    else:
        s = spec(a, epochs, len(store.rows('train'))//BS, seed)
        learn = spec_learner(s, spec_dls(s, store, 'cpu'), cbs=tick)
        for dl in learn.dls.loaders: next(iter(dl)) # compiles
    size = sum(p.numel() for p in learn.model.parameters())
    with learn.no_bar(), learn.no_logging():
        tick.start()
        if kind=='fastai': learn.fit_one_cycle(epochs, LR)
        else: learn.fit_spec()
    return dict(curve=tick.points, cpu=cpu_seconds()-tick.cpu, parameters=size)

def reach(curve, score):
    "Minutes at the end of the first epoch that has this score; None: not reached"
    return next((o['minutes'] for o in curve if o['macro_f1']>=score), None)

def mid(xs): return st.median(xs) if xs and None not in xs else None

def rows_of(runs, a, seen, pack_minutes):
    "A row a side; `runs`: side -> seed -> result; `ratio`: fastai's minutes over those until its final score"
    rows,base = [],runs['fastai']
    for k,res in runs.items():
        full = [o for o in res.values() if 'cpu' in o]
        row = dict(name=k, size=a.size, images_per_second=None, cpu_us_per_image=None, ratio=None, curves={str(s):o['curve'] for s,o in res.items()})
        if full:
            n = [seen*len(o['curve']) for o in full]
            row |= dict(images_per_second=st.median(x/o['curve'][-1]['minutes']/60 for x,o in zip(n, full)), cpu_us_per_image=st.median(o['cpu']/x*1e6 for x,o in zip(n, full)),
                macro_f1=st.median(o['curve'][-1]['macro_f1'] for o in full), minutes=st.median(o['curve'][-1]['minutes'] for o in full), parameters=full[0]['parameters'])
        both = [s for s in res if 'cpu' in res[s] and 'cpu' in base.get(s, {})]
        if both:
            ends = {s:base[s]['curve'][-1] for s in both}
            took = {s:reach(res[s]['curve'], ends[s]['macro_f1']) for s in both}
            row |= dict(to_reach=mid(list(took.values())), to_reach_each=took)
            row |= dict(ratio=mid([took[s] and ends[s]['minutes']/took[s] for s in both]), per_10=mid([took[s] and took[s]*10/ends[s]['minutes'] for s in both]))
            if k!='fastai' and row['to_reach']: row |= dict(with_packing=row['to_reach']+pack_minutes)
        rows.append(row)
    return rows

def plot(rows, file):
    "Held-out macro-F1 against minutes"
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    fig,ax = plt.subplots(figsize=(6.5, 4), layout='constrained')
    for r,c in zip(rows, ('C1', 'C0')):
        for k,o in enumerate(r['curves'].values()):
            ax.plot([p['minutes'] for p in o], [p['macro_f1'] for p in o], 'o-', c=c, ms=4, label=None if k else r['name'])
    end,took = rows[0].get('macro_f1'),rows[1].get('to_reach') if len(rows)>1 else None
    if end:
        ax.axhline(end, c='C1', lw=.8, ls='--')
        ax.annotate(f"fastai at the end: {end:.3f}", (0, end), c='C1', fontsize=8, va='bottom', xytext=(2, 2), textcoords='offset points')
    if end and took:
        ax.plot([took, took], [0, end], c='C0', lw=.8, ls='--')
        ax.annotate(f' {took:.1f} min', (took, 0), c='C0', va='bottom')
    ax.set(xlabel='minutes', ylabel='macro-F1 of held-out images', xlim=(0, None), ylim=(0, None))
    ax.grid(alpha=.3)
    ax.spines[['top', 'right']].set_visible(False)
    ax.legend(frameon=False, loc='lower right')
    fig.savefig(file, dpi=130)
    plt.close(fig)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; default: synthetic PNGs, made once in ~/.cache/zoofast/bench')
    p.add_argument('--n', type=int, help='number of images; default: all of the folder, or 20,000 synthetic ones')
    p.add_argument('--minutes', type=float, default=10, help='that fastai gets')
    p.add_argument('--epochs', type=int, help='instead of --minutes')
    p.add_argument('--arch', default='resnet10t', help='a timm net')
    p.add_argument('--size', type=int, default=64, help='pixels')
    p.add_argument('--seeds', type=int, nargs='+', default=[42], help='of weights, order and poses; medians over them')
    p.add_argument('--plain', action='store_true', help='zoofast without small sizes, class weights and averaged weights')
    p.add_argument('--meta', action='store_true', help="zoofast with the size of the image as an input: then the nets differ")
    p.add_argument('--inner', action='store_true', help='set the held-out images aside and hold out 10%% of the others: to try settings on')
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--quick', action='store_true', help='a minute, to see it work: 1,200 images, 32 px, a few epochs')
    p.add_argument('--plot', type=Path, help='PNG; default: beside the JSON')
    p.add_argument('--json')
    a = p.parse_args()
    if a.quick: a.n,a.size,a.epochs = a.n or 1200,32,a.epochs or 3
    a.threads = set_threads(a.threads)
    import torch
    from zoofast.data.splits import split_items
    from zoofast.data.store import pack
    torch.set_num_threads(a.threads)
    warnings.filterwarnings('ignore')
    items,_ = files(a.data, a.n or (None if a.data else 20000), valid=.1, seed=42)
    if a.inner: items = split_items(items[items.split=='train'].reset_index(drop=True), .1, seed=1, overwrite=True)
    for f in items.path: open(f, 'rb').read()     # into the page cache
    png,cols = a.plot or (Path(a.json).with_suffix('.png') if a.json else None),['name', 'size', 'macro_f1', 'minutes', 'to_reach', 'with_packing', 'per_10', 'ratio',
        'images_per_second', 'cpu_us_per_image', 'parameters']
    with tempfile.TemporaryDirectory() as tmp:
        t = time.perf_counter()
        store = pack(items, Path(tmp)/'store', workers=a.threads, progress=False)
        took = (time.perf_counter()-t)/60
        print(f'{len(items):,} images packed in {took*60:.1f} s', flush=True)
        steps = len(store.rows('train'))//BS
        epochs = a.epochs
        if not epochs:
            sec = fastai_epoch(a, items, store, 40)
            epochs = max(2, round(a.minutes*60/sec))
            print(f'fastai: {sec:.1f} s an epoch (estimate), so {epochs} epochs'+('; few for a one-cycle: take a smaller net' if epochs<4 else ''), flush=True)
        more = dict(images=len(items), classes=len(store.vocab), held_out=len(store.rows('valid')), epochs=epochs, packing_minutes=took, spec=str(spec(a, epochs, steps, a.seeds[0])))
        runs = dict(fastai={}, zoofast={})
        def save(show=False): report(a, rows_of(runs, a, steps*BS, took), cols, show=show, **more)
        try:
            for seed in a.seeds:
                for k,o in runs.items():
                    def done(points):
                        o[seed] = dict(curve=points)
                        print(f"{k}, seed {seed}, epoch {points[-1]['epoch']} of {epochs}: {points[-1]['minutes']:.2f} min, macro-F1 {points[-1]['macro_f1']:.4f}", flush=True)
                        save()
                    o[seed] = run(k, a, items, store, epochs, seed, done)
            pair = [{k:v for k,v in o[a.seeds[0]].items() if k=='parameters'} for o in runs.values()]
            assert a.meta or pair[0]==pair[1], f'The nets differ: {pair}'
        except KeyboardInterrupt: print('interrupted')
        save(show=True)
        if png: plot(rows_of(runs, a, steps*BS, took), png)

if __name__=='__main__': main()
