"""What do parts cost? `zoofast predict --shards` beside `zoofast predict --out`, from a folder, a tar archive and a Store; and does memory grow?

    python benchmarks/bulk.py --data FOLDER --json bulk.json     # real images, from a folder of class folders
    python benchmarks/bulk.py --quick                            # drawn ones, a minute or two

Each arm is a process of its own, started as a user would start it; `images_per_second` is what the command prints for the work alone, CPU time and memory (of the
process tree, beyond the page cache) are those of the whole command, libraries and all. The net is a tiny one at 32 px, so that what is measured is everything but
the net. `ratio`: CPU time of an image beside `--out` from the same kind of source at the largest n, without the start, which is what the same command needs for 64 images.
`grows`: peak memory beside that of the same arm with a quarter of the images.
"""
import argparse, os, re, shutil, sys, tarfile, tempfile, time
from pathlib import Path
from common import cpu_children, files, report, set_threads, watch

def inputs(items, n, d):
    "`n` images as a folder of links, a tar archive and a Store"
    from zoofast.data.store import pack
    some = items.iloc[:n]
    (d/'folder').mkdir(parents=True)
    for i,p in enumerate(some.path): os.symlink(p, d/'folder'/f'{i:07}{Path(p).suffix}')
    with tarfile.open(d/'images.tar', 'w', dereference=True) as t: t.add(d/'folder', '.')
    pack(d/'folder', d/'images.zoo', on_bad='skip', progress=False)
    return dict(folder=d/'folder', tar=d/'images.tar', store=d/'images.zoo')

def run(model, source, out, way):
    "images/s as printed (None for --out), CPU seconds, seconds, bytes"
    cmd = [sys.executable, '-m', 'zoofast.cli', 'predict', model, source, '--tta', 'none', '--bs', '64', '--device', 'cpu', f'--{way}', out]
    t,c = time.perf_counter(),cpu_children()
    text,peak = watch([str(o) for o in cmd + (['--chunk', '1024'] if way=='shards' else [])])
    m = re.search(r'([\d.e+]+) images/s', text)
    return float(m[1]) if m else None,cpu_children()-c,time.perf_counter()-t,peak

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', help='folder of class folders; without it images are drawn')
    p.add_argument('--n', type=int, default=16000, help='images of the largest run')
    p.add_argument('--threads', type=int, default=1); p.add_argument('--json'); p.add_argument('--quick', action='store_true')
    a = p.parse_args()
    set_threads(a.threads)
    if a.quick: a.n = 512
    os.environ['ZOOFAST_PROGRESS'] = '0'
    from zoofast.data.synth import tiny_store
    from zoofast.learner import train
    from zoofast.train.spec import Spec
    items,_ = files(a.data, a.n)
    n = len(items)
    with tempfile.TemporaryDirectory() as d:
        d,rows = Path(d),[]
        train(Spec(arch='test_resnet', size=32, aug='none', epochs=1, bs=24, smoothing=0.), tiny_store(), out=d/'net', show=False)
        got,least = {},inputs(items, 64, d/'least')
        start = {way:run(d/'net', least['store'], d/f'least-{way}{".parquet" if way=="out" else ""}', way)[1] for way in ('out','shards')}
        for k in (n//4, n):
            src = inputs(items, k, d/str(k))
            for kind,way in (('folder','out'), ('folder','shards'), ('tar','shards'), ('store','out'), ('store','shards')):
                speed,cpu,secs,peak = got[kind,way,k] = run(d/'net', src[kind], d/f'{kind}-{way}-{k}{".parquet" if way=="out" else ""}', way)
                base,small = got.get((kind if kind!='tar' else 'folder', 'out', k)),got.get((kind, way, n//4))
                rows.append(dict(name=f'{kind}, --{way}', size=k, images_per_second=speed or k/secs, cpu_us_per_image=1e6*(cpu-start[way])/k,
                                 ratio=(cpu-start[way])/(base[1]-start['out']), seconds=secs, peak_mb=peak/1e6, grows=peak/small[3]))
                report(a, rows, ['name','size','images_per_second','cpu_us_per_image','ratio','seconds','peak_mb','grows'], show=False)
            shutil.rmtree(d/str(k))
        report(a, rows, ['name','size','images_per_second','cpu_us_per_image','ratio','seconds','peak_mb','grows'])

if __name__=='__main__': main()
