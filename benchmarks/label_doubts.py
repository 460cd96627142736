"""How many wrong labels does each rule find, when it is known which are wrong?

    python benchmarks/label_doubts.py PREDS.parquet ... --names ... --json outputs/benchmarks/label_doubts.json

Each PREDS is a table of predictions with labels (`Preds.save`) on images the net was not trained on. A share of the labels is replaced: by any other class alike, or by one of the classes that the net confuses
with the true one, as an annotator might (the second most probable class). For each rule: how many of the labels it doubts were replaced (precision), how many of the replaced ones it doubts (found), and the same
among as many as were replaced (`at_n`). Real labels hold errors of their own: what a rule finds of those counts as wrong here, for every rule alike. Several draws of the errors; nothing is chosen.
"""
import argparse, importlib.util, sys
from dataclasses import replace
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.core import versions, write_json
from zoofast.preds import Preds
from zoofast.science.active import DOUBTS, label_doubts

def spoiled(p, share, how, seed):
    "Replace a share of the labels: -> Preds, and which"
    g = np.random.default_rng(seed)
    bad = g.random(len(p))<share
    if how=='any': new = (p.targs+g.integers(1, len(p.vocab), len(p)))%len(p.vocab)
    else:
        z = p.logits.copy()
        z[np.arange(len(p)),p.targs] = -np.inf
        new = z.argmax(1)
    return replace(p, targs=np.where(bad, new, p.targs)),bad

def found(p, bad, rule):
    t = label_doubts(p, rule)
    hit = np.isin(t.id, p.ids[bad])
    return dict(doubted=len(t), precision=hit.mean(), found=hit.sum()/bad.sum(), at_n=hit[:bad.sum()].sum()/bad.sum())

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('preds', nargs='+'), a.add_argument('--names', nargs='*'), a.add_argument('--json', default='label_doubts.json')
    a.add_argument('--draws', type=int, default=3), a.add_argument('--shares', type=float, nargs='*', default=[.02,.05,.1])
    a = a.parse_args()
    rules,rows = [o for o in DOUBTS if o!='cleanlab' or importlib.util.find_spec('cleanlab')],[]
    for k,f in zip(a.names or [Path(o).stem for o in a.preds], a.preds, strict=True):
        p = Preds.load(f)
        p = p[np.flatnonzero(p.ok & (p.targs>=0))]
        for how in ('any','confused'):
            for share in a.shares:
                for d in range(a.draws):
                    q,bad = spoiled(p, share, how, d)
                    rows += [dict(net=k, accuracy=(p.logits.argmax(1)==p.targs).mean(), errors=how, share=share, draw=d, rule=r, **found(q, bad, r)) for r in rules]
        print(k, flush=True)
    t = pd.DataFrame(rows)
    m = t.groupby(['errors','share','rule'], sort=False)[['doubted','precision','found','at_n']].mean().reset_index()
    print(m.round(3).to_string(index=False))
    write_json(dict(images=len(p), settings={k:v for k,v in vars(a).items() if k not in ('preds','json')}, versions=versions(), means=m.round(4).to_dict('records'), runs=t.round(4).to_dict('records')), a.json)

if __name__=='__main__': main()
