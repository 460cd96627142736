"""Does a million images fit?  Memory of packing, opening and training, beyond the page cache

Claim: packing and training a Store of 1,000,000 generated images needs less than 3 GB resident beyond the page cache, and opening it
takes less than 100 ms.

    python benchmarks/memory.py --json memory.json              # a million; most of the time goes into drawing them
    python benchmarks/memory.py --n 20000 --steps 50            # a minute, to see it work

How: each phase runs in a process of its own, and RssAnon + RssShmem of it and all its children are added up every 50 ms; pages that a
fork shares with its parent count once for each, so the figure errs on the high side. Opening is timed in fresh processes: the first,
and the median of five. `train` draws weighted batches (n_c^-1/2, augmented) from the whole store, steps a small net on them, then
validates on the whole valid part. `ratio` is the share of the limit that is used.
"""
import argparse, json, shutil, statistics as st, sys, time, warnings
from pathlib import Path
from common import cache_dir, cpu_seconds, report, set_threads, watch

LIMITS = dict(pack=3e9, train=3e9, open=.1)       # bytes, bytes, seconds

def pack(a):
    "Draw and pack"
    from zoofast.data.synth import synth_store
    store = synth_store(a.store, a.n, seed=0, valid=a.valid)
    return len(store)

def open_(a):
    "Open, and read the last image"
    from zoofast.data.store import Store
    t = time.perf_counter()
    store = Store(a.store)
    n = len(store)
    opened = time.perf_counter()-t
    assert store[n-1].size
    return n, opened

def train(a):
    "Weighted batches from the whole store, a small net, and the whole validation part"
    from fastai.callback.core import Callback, CancelTrainException
    from zoofast.data.dls import store_dls
    from zoofast.data.store import Store
    from zoofast.learner import zoo_learner
    class Stop(Callback):
        def after_batch(self):
            if self.training and self.iter+1==a.steps: raise CancelTrainException()
    store = Store(a.store)
    learn = zoo_learner(store_dls(store, size=a.size, bs=64, alpha=.5), a.net, cbs=Stop())
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return a.steps*64+len(store.rows('valid'))

def one(a):
    "One phase, in this process"
    warnings.filterwarnings('ignore')
    cpu,t = cpu_seconds(),time.perf_counter()
    done = dict(pack=pack, open=open_, train=train)[a.phase](a)
    n,opened = done if isinstance(done, tuple) else (done, None)
    print(json.dumps(dict(images=n, seconds=opened or time.perf_counter()-t, cpu=cpu_seconds()-cpu)))

def phase(name, argv, repeat=1):
    "A phase in processes of its own"
    runs = []
    for _ in range(repeat):
        text,peak = watch([sys.executable, __file__, *argv, '--phase', name])
        runs.append(json.loads(text.splitlines()[-1])|dict(peak=peak))
    first,sec,peak = runs[0],st.median(o['seconds'] for o in runs),max(o['peak'] for o in runs)
    measured = sec if name=='open' else peak
    row = dict(name=name, size=first['images'], images_per_second=None, cpu_us_per_image=None, ratio=measured/LIMITS[name], seconds=sec,
        first_seconds=first['seconds'], peak_mb=peak/1e6, limit='100 ms' if name=='open' else '3 GB')
    if name=='pack': row |= dict(images_per_second=first['images']/sec, cpu_us_per_image=first['cpu']/first['images']*1e6)
    print(f"{name}: {sec:.3g} s, {peak/1e6:,.0f} MB", flush=True)
    return row

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=1_000_000)
    p.add_argument('--steps', type=int, default=500, help='training steps of 64 images')
    p.add_argument('--size', type=int, default=64, help='pixels')
    p.add_argument('--net', default='resnet10t', help='a timm net')
    p.add_argument('--valid', type=float, default=.1)
    p.add_argument('--threads', type=int, default=0, help='default: all cores')
    p.add_argument('--store', type=Path, help='where to pack; default: in ~/.cache/zoofast/bench, removed afterwards')
    p.add_argument('--keep', action='store_true', help='keep the store; an existing one is used without packing')
    p.add_argument('--phase', choices=['pack', 'open', 'train'], help=argparse.SUPPRESS)
    p.add_argument('--json')
    a = p.parse_args()
    a.threads,a.store = set_threads(a.threads),a.store or cache_dir()/f'memory-{a.n}.store'
    if a.phase: return one(a)
    argv = [o for k in ('n', 'steps', 'size', 'net', 'valid', 'threads', 'store') for o in (f'--{k}', str(getattr(a, k)))]
    if a.store.exists() and not a.keep: sys.exit(f'{a.store} exists: remove it, or use it with --keep')
    rows = [] if a.store.exists() else [phase('pack', argv)]
    rows += [phase('open', argv, 5), phase('train', argv)]
    report(a, rows, ['name', 'size', 'seconds', 'first_seconds', 'images_per_second', 'cpu_us_per_image', 'peak_mb', 'limit', 'ratio'],
        store_gb=sum(f.stat().st_size for f in a.store.iterdir())/1e9)
    if not a.keep: shutil.rmtree(a.store)

if __name__=='__main__': main()
