#!/usr/bin/env python3
"""Run notebooks in place, to refresh their stored outputs, and clean them. Cells the tests skip (slow, cuda, eval: false ...) keep the outputs they have.

    python tools/run_notebooks.py [NOTEBOOK ...]    all of nbs/ when none is named
    python tools/run_notebooks.py --proofs          only count: how many exported cells are followed by a proof before the next export
"""
import os, subprocess, sys, time, tomllib
from pathlib import Path
import nbformat
from house import exporting, notebooks, Cell

root = Path(__file__).resolve().parent.parent

def run(f):
    from nbclient import NotebookClient
    flags = set(tomllib.loads((root/'pyproject.toml').read_text())['tool']['nbdev']['tst_flags'].split())
    nb = nbformat.read(f, as_version=4)
    for i,c in enumerate(nb.cells):
        d = Cell(c, i).dirs if c.cell_type=='code' else {}
        c.metadata['tags'] = ['skip-execution'] if flags & set(d) or d.get('eval', '').lower()=='false' else []
    NotebookClient(nb, timeout=1200, kernel_name='python3', resources=dict(metadata=dict(path=str(f.parent)))).execute()
    for c in nb.cells: c.metadata.pop('tags')
    nbformat.write(nb, f)
    subprocess.run(['nbdev_clean', '--fname', str(f)], check=True, cwd=root)

def proofs():
    "Exported cells with code that shows or tests them before the next exported cell; imports do not count"
    done = total = 0
    for f,mod,cells in exporting(root):
        cells = [c for c in cells if c.body.strip() and not c.only_imports()]
        pairs = [(c, n) for c,n in zip(cells, [*cells[1:], None]) if c.exported]
        good = sum(n is not None and not n.exported for _,n in pairs)
        bare = [c.body.strip().splitlines()[0][:60] for c,n in pairs if n is None or n.exported]
        print(f'{good:4}/{len(pairs):<4} {mod:18} {"  |  ".join(bare)[:200]}')
        done,total = done+good,total+len(pairs)
    print(f'{done}/{total} = {done/max(total, 1):.0%} of exported cells are followed by their proof')

if __name__=='__main__':
    names = [o for o in sys.argv[1:] if o!='--proofs']
    if '--proofs' not in sys.argv:
        os.environ.update(ZOOFAST_PROGRESS='0', WANDB_MODE='offline', WANDB_SILENT='true', OMP_NUM_THREADS='1')
        for f in [Path(o).resolve() for o in names] or notebooks(root):
            t = time.time()
            run(f)
            print(f'{time.time()-t:6.1f} s  {f.relative_to(root)}', flush=True)
    proofs()
