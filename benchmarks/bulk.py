"""What do parts cost? `zoofast predict --shards` beside `zoofast predict --out`, from a folder, a tar archive and a Store; and does memory grow?

    python benchmarks/bulk.py --data FOLDER --json bulk.json     # real images, from a folder of class folders
    python benchmarks/bulk.py --quick                            # drawn ones, a minute or two

Each arm is a process of its own, which loads the libraries and the net, predicts 64 images, and is then measured: wall and CPU time of the work, and the peak memory
of the process tree beyond the page cache, libraries and all. The net is a tiny one at 32 px, so what is measured is everything but the net. `ratio`: CPU time beside
`--out` from the same source (a tar: from the folder). `grows`: peak memory beside that of the same arm with a quarter of the images.
"""
import argparse, json, os, shutil, sys, tarfile, tempfile, time
from pathlib import Path
from common import cpu_seconds, files, report, set_threads, watch

def inputs(items, n, d):
    "`n` images as a folder of links, a tar archive and a Store"
    from zoofast.data.store import pack
    some = items.iloc[:n]
    (d/'folder').mkdir(parents=True)
    for i,p in enumerate(some.path): os.symlink(p, d/'folder'/f'{i:07}{Path(p).suffix}')
    with tarfile.open(d/'images.tar', 'w', dereference=True) as t: t.add(d/'folder', '.')
    pack(d/'folder', d/'images.zoo', on_bad='skip', progress=False)
    return dict(folder=d/'folder', tar=d/'images.tar', store=d/'images.zoo')

def arm(model, source, least, out, way):
    "In a process of its own: predict, and print seconds and CPU seconds of that"
    from zoofast.ensemble import as_ensemble, predict
    from zoofast.scale.job import make_job
    import zoofast.scale.bulk
    e = as_ensemble(model, 'cpu')
    def work(source, out):
        if way=='out': predict(source, e, tta='none', bs=64, amp='float32', out=f'{out}.parquet', progress=False)
        else: make_job(source, e, out, chunk=1024, tta='none', bs=64).run(e, progress=False)
    work(least, f'{out}-least')
    t,c = time.perf_counter(),cpu_seconds()
    work(source, out)
    print(json.dumps([time.perf_counter()-t, cpu_seconds()-c]))

def run(*args):
    "Seconds, CPU seconds, bytes"
    text,peak = watch([sys.executable, __file__, '--arm', *map(str, args)])
    return *json.loads(text.splitlines()[-1]),peak

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; without it images are drawn')
    p.add_argument('--n', type=int, default=16000, help='images of the largest run')
    p.add_argument('--threads', type=int, default=1); p.add_argument('--json'); p.add_argument('--quick', action='store_true')
    p.add_argument('--arm', nargs=5, help=argparse.SUPPRESS)
    a = p.parse_args()
    set_threads(a.threads)
    if a.arm: return arm(*a.arm)
    if a.quick: a.n = 512
    os.environ['ZOOFAST_PROGRESS'] = '0'
    from zoofast.data.synth import tiny_store
    from zoofast.learner import train
    from zoofast.train.spec import Spec
    items,_ = files(a.data, a.n)
    n = len(items)
    with tempfile.TemporaryDirectory() as d:
        d,rows,cols = Path(d),[],['name','size','images_per_second','cpu_us_per_image','ratio','peak_mb','grows']
        train(Spec(arch='test_resnet', size=32, aug='none', epochs=1, bs=24, smoothing=0.), tiny_store(), out=d/'net', show=False)
        got,least = {},inputs(items, 64, d/'least')
        for k in (n//4, n):
            src = inputs(items, k, d/str(k))
            for kind,way in (('folder','out'), ('folder','shards'), ('tar','shards'), ('store','out'), ('store','shards')):
                secs,cpu,peak = got[kind,way,k] = run(d/'net', src[kind], least[kind], d/f'{kind}-{way}-{k}', way)
                base,small = got['folder' if kind=='tar' else kind, 'out', k],got[kind,way,n//4]
                rows.append(dict(name=f'{kind}, --{way}', size=k, images_per_second=k/secs, cpu_us_per_image=1e6*cpu/k, ratio=cpu/base[1], peak_mb=peak/1e6, grows=peak/small[2]))
                report(a, rows, cols, show=False)
            shutil.rmtree(d/str(k))
        report(a, rows, cols)

if __name__=='__main__': main()
