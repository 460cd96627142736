"""Do the benchmarks still run, and is their JSON in order?  Tiny sizes, one thread, some five minutes; the numbers mean nothing.

    python benchmarks/check.py              # all
    python benchmarks/check.py loading      # some
"""
import json, subprocess, sys, tempfile, time
from pathlib import Path
from common import KEYS

RUNS = dict(loading='--quick --threads 1', training='--quick --threads 1', inference='--n 128 --n-nets 32 --rounds 1 --nets null --threads 1', scale='--quick --threads 1',
            quality='--quick --threads 1', sampler_gpu='--interpret', ndsb='--budget trial --no-estimate --threads 1')
PLOTS = 'scale', 'quality', 'ndsb'

def check(name, args, tmp):
    file,t = Path(tmp)/f'{name}.json',time.perf_counter()
    subprocess.run([sys.executable, Path(__file__).with_name(f'{name}.py'), *args.split(), '--json', file], check=True)
    if name=='sampler_gpu': return print(f'{name}: fine\n') # what it writes, only a GPU can measure
    d = json.loads(file.read_text())
    assert {'cpu', 'cores', 'ram_gib'} <= set(d['machine']) and {'zoofast', 'torch', 'fastai'} <= set(d['versions']), d
    assert d['rows'] and all(set(KEYS) <= set(o) and isinstance(o['name'], str) and o['size']>0 for o in d['rows']), d['rows']
    if name=='loading': assert max(o['ratio'] for o in d['rows'] if o['name'].startswith('zoofast'))>3, d['rows']
    if name in PLOTS: assert file.with_suffix('.png').stat().st_size>10_000
    print(f'{name}: fine, {time.perf_counter()-t:.0f} s\n', flush=True)

if __name__=='__main__':
    names = sys.argv[1:] or list(RUNS)
    with tempfile.TemporaryDirectory() as tmp:
        for k in names: check(k, RUNS[k], tmp)
