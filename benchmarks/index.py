"""Can a Store of a hundred million images be opened, drawn from and read, and in how much memory?

Claim: opening takes milliseconds to seconds and the memory of a few bytes a row; drawing a weighted epoch needs some tens of bytes a row; the cost of
a batch does not depend on the number of rows.

    python benchmarks/index.py --rows 1e6 1e7 1e8 --json index.json     # 1e8: 3.8 GB of disk
    python benchmarks/index.py --quick

How: the index is real (offsets, sides, fills, labels in ZooCAM's proportions, splits, hashes; 38 bytes a row), the pixels are one sparse file of
16 x 16 px images: holes that the file system reads as zeros. Each phase is a process of its own; its memory is RssAnon + RssShmem, added up every
50 ms, less that of the same process with 10,000 rows.

open: Store(path), its repr, its last image.   loaders: store_dls with its checks.   draw: the weighted order of one epoch (n_c^-1/2).
batch: a batch of 64 of the train loader, without a net.
"""
import argparse, json, shutil, statistics as st, sys, time
import numpy as np
from common import cache_dir, report, set_threads, watch
from scale import COUNTS

SIDE = 16

def make(path, n):
    "A Store with an index of `n` rows over holes"
    from zoofast.data.packing import FORMAT
    from zoofast.core import write_json
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    step,p = 5_000_000,np.array(COUNTS)/sum(COUNTS)
    kinds = dict(offset='i8', height='i4', width='i4', fill='u1', label='i4', hash='V16', split='i1')
    maps = {k:np.lib.format.open_memmap(path/f'{k}.npy', 'w+', np.dtype('u1') if k=='hash' else t, (n,16) if k=='hash' else (n,1) if k=='fill' else (n,))
            for k,t in kinds.items()}
    rng = np.random.default_rng(0)
    for a in range(0, n, step):
        b = min(n, a+step)
        maps['offset'][a:b] = np.arange(a, b)*SIDE*SIDE
        maps['height'][a:b],maps['width'][a:b],maps['fill'][a:b] = SIDE,SIDE,0
        maps['label'][a:b],maps['split'][a:b] = rng.choice(len(p), b-a, p=p),np.where(rng.random(b-a)<.1, 2, 1)
    maps['label'][:2*len(p)] = np.repeat(np.arange(len(p)), 2)
    for o in maps.values(): o.flush()
    with open(path/'pixels.u8', 'wb') as f: f.truncate(n*SIDE*SIDE)
    write_json(dict(kind='zoofast store', format=FORMAT, zoofast='', n=n, channels=1, bytes=n*SIDE*SIDE, n_bad=0, duplicates=0, reader='',
                    vocab=[f'class_{i:02d}' for i in range(len(p))], mean=[.5], std=[.2]), path/'meta.json')

def timed(f):
    t = time.perf_counter()
    res = f()
    return res,time.perf_counter()-t

def open_(path):
    from zoofast.data.store import Store
    return timed(lambda: (repr(s := Store(path)), s[len(s)-1].sum()))[1]

def dls_of(path):
    from zoofast.data.store import Store
    from zoofast.data.dls import store_dls
    return store_dls(Store(path), size=32, bs=64, alpha=.5, device='cpu')

def loaders(path):
    import zoofast.data.dls
    return timed(lambda: dls_of(path))[1]

def draw(path):
    dls = dls_of(path)
    order,sec = timed(dls.train.get_idxs)
    seen = np.bincount(np.asarray(dls.train.targs)[order[:1_000_000]], minlength=len(COUNTS))/min(len(order), 1_000_000)
    assert abs(seen-dls.train.prior).max()<.005+3*len(order)**-.5
    return sec

def batch(path):
    dls = dls_of(path)
    it = iter(dls.train)
    next(it)
    return st.median(timed(lambda: next(it))[1] for _ in range(50))

PHASES = dict(open=open_, loaders=loaders, draw=draw, batch=batch)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rows', type=float, nargs='+', default=[1e6, 1e7, 1e8])
    p.add_argument('--threads', type=int)
    p.add_argument('--phase'), p.add_argument('--json'), p.add_argument('--quick', action='store_true')
    a = p.parse_args()
    set_threads(a.threads)
    base = cache_dir()/'index'
    if a.phase:
        import warnings
        warnings.filterwarnings('ignore')
        return print(json.dumps(PHASES[a.phase](base/str(int(a.rows[0])))))
    rows,sizes = [],[10_000]+sorted(int(o) for o in ([1e5] if a.quick else a.rows))
    for n in sizes:
        make(base/str(n), n)
        for k in PHASES:
            text,peak = watch([sys.executable, __file__, '--phase', k, '--rows', str(n)])
            sec = json.loads(text.splitlines()[-1])
            first = next((o['peak_mb'] for o in rows if o['name']==k), peak/1e6)
            rows.append(dict(name=k, size=n, seconds=sec, peak_mb=peak/1e6, bytes_a_row=(peak/1e6-first)*1e6/n if n>10_000 else None))
            print(f"{n:,} rows: {k}: {sec:.3g} s, {peak/1e6:,.0f} MB" + (f", {rows[-1]['bytes_a_row']:.0f} bytes a row" if n>10_000 else ''), flush=True)
        shutil.rmtree(base/str(n))
    report(a, [dict(ratio=None, images_per_second=None, cpu_us_per_image=None) | o for o in rows], ['name','size','seconds','peak_mb','bytes_a_row'])

if __name__=='__main__': main()
