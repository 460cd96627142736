"""Do the benchmarks still run, and is their JSON in order?  Tiny sizes, two minutes; the numbers mean nothing.

    python benchmarks/check.py
"""
import json, subprocess, sys, tempfile
from pathlib import Path
from common import KEYS

RUNS = dict(loading='--n 600 --sizes 48 --rounds 1 --n-slow 128 --n-fast 256 --nets test_resnet --steps 1',
            inference='--n 128 --size 48 --rounds 1 --nets null', memory='--n 1000 --steps 3 --size 32 --net test_resnet')

def check(name, args, tmp):
    file = Path(tmp)/f'{name}.json'
    subprocess.run([sys.executable, Path(__file__).with_name(f'{name}.py'), *args.split(), '--threads', '1', '--json', file], check=True)
    d = json.loads(file.read_text())
    assert {'cpu', 'cores', 'ram_gib'} <= set(d['machine']) and {'zoofast', 'torch', 'fastai'} <= set(d['versions']), d
    assert d['rows'] and all(set(KEYS) <= set(o) and isinstance(o['name'], str) and o['size']>0 for o in d['rows']), d['rows']
    assert any(o['ratio'] and o['ratio']>1 for o in d['rows']) or name=='memory', d['rows']

if __name__=='__main__':
    with tempfile.TemporaryDirectory() as tmp:
        for k,v in RUNS.items(): check(k, v, tmp)
