"""Do the benchmarks still run, and is their JSON in order?  Tiny sizes, one thread; the numbers mean nothing.

    python benchmarks/check.py              # all
    python benchmarks/check.py loading      # some
"""
import json, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np
from common import KEYS

RUNS = dict(loading='--quick --threads 1', training='--quick --threads 1', inference='--n 128 --n-nets 32 --rounds 1 --nets null --threads 1', scale='--quick --threads 1', bulk='--quick',
            quality='--quick --threads 1', sampler_gpu='--interpret', ndsb='--budget trial --no-estimate --threads 1')
PLOTS = 'scale', 'quality', 'ndsb'

# the others, some from drawn predictions, some from nets of an epoch: what they must write, and the keys or columns it must have
OTHERS = dict(index=('--quick --json out.json', {'out.json':['machine', 'versions', 'rows']}),
              ranks=('--quick --json out.json', {'out.json':['machine', 'versions', 'rows']}),
              soak=('--minutes .1 --images 150 --json out.json', {'out.json':['rounds', 'attempts', 'faults']}),
              abundance=('PREDS --samples 2 --images 60 --checked 1 --shifts 0 1 --json out.json', {'out.json':['nets', 'runs', 'checks', 'promises', 'tables']}),
              label_doubts=('PREDS --draws 1 --shares .1 --json out.json', {'out.json':['means', 'runs']}),
              decision=('PREDS --cuts 1 --json out.json', {'out.json':['rows', 'summary']}),
              grouping=('--quick --json out.json', {'out.json':['means', 'runs']}),
              novelty=('--quick --save out', {'out/table.csv':['kind', 'auroc', 'kept', 'caught'], 'out/over.csv':['draws'], 'out/novelty.png':[]}),
              hierarchy=('drawn.zoo --tree synth --plan PLAN --out study --save out', {'out/differences.csv':['score', 'level'], 'out/depth.csv':['rank', 'share'], 'out/costs.csv':['arm', 'seconds'], 'out/flow_BA.png':[]}))
PLAN = """{name: check, split: test, score: macro_f1, seeds: 2, base: {arch: test_resnet, size: 32, epochs: 1, bs: 64, amp: null, keep: last, tta: none, tree: synth},
arms: {flat: {}, BA: {branches: {kind: ba, width: 16}}}}"""

def drawn_preds(path, n=1200, c=6):
    "Predictions of a net that is fairly good"
    from zoofast.preds import Preds
    r = np.random.default_rng(0)
    y = np.minimum(r.geometric(.4, n)-1, c-1)
    Preds([f'{i}' for i in range(n)], [f'taxon{i}' for i in range(c)], 2*r.normal(size=(n,c))+3*np.eye(c)[y], y).save(path)

def check_files(name, tmp):
    (args,files),t,here = OTHERS[name],time.perf_counter(),Path(tmp)/name
    here.mkdir()
    if 'PREDS' in args: drawn_preds(here/'PREDS.parquet')
    if 'PLAN' in args: (here/'plan.yaml').write_text(PLAN)
    args = args.replace('PREDS', 'PREDS.parquet').replace('PLAN', 'plan.yaml')
    subprocess.run([sys.executable, Path(__file__).with_name(f'{name}.py').resolve(), *args.split()], cwd=here, check=True)
    for f,keys in files.items():
        f = here/f
        has = json.loads(f.read_text()) if f.suffix=='.json' else f.open().readline().strip().split(',') if f.suffix=='.csv' else f.stat().st_size>5_000
        assert has and set(keys) <= set(has if keys else []), (f.name, has)
    print(f'{name}: fine, {time.perf_counter()-t:.0f} s\n', flush=True)

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
    names = sys.argv[1:] or [*RUNS, *OTHERS]
    with tempfile.TemporaryDirectory() as tmp:
        for k in names: check_files(k, tmp) if k in OTHERS else check(k, RUNS[k], tmp)
