"""How wrong are counts from a classifier when the shares of the taxa shift, and do corrections help or hurt?

    python benchmarks/abundance.py PREDS.parquet ... --json outputs/benchmarks/abundance.json

Each PREDS is a table of predictions with true labels (`Preds.save`) on images the network was not trained on; the name of a network is that of its file, or --names. Its rows are cut in two
stratified halves (by id, seed 42): on one the errors are measured, from the other artificial samples of --images images are drawn, --samples for each shift. Nothing is chosen by the
results: the methods have no setting but the strength of `shrunk`, which each sample chooses by its own likelihood, without labels. The JSON holds every sample of every network, the means, and the
paired comparisons with plain counting (sign flips, Holm over all methods and shifts).

Then the intervals: for each network and shift a few samples with their bootstrap intervals; `coverage` is the share of classes whose expected number they hold, `present` of those expected at least once.
And the promises of prediction sets and thresholds (zoofast.sets): fitted on one half, held against the other.
"""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.core import versions, write_json
from zoofast.preds import Preds
from zoofast.science.protocol import quantifier_table, try_quantifiers

def halves(p, seed=42):
    "As zoofast.calibrate.halves, without torch"
    from zoofast.core import fold_ids
    p = p[np.flatnonzero((p.targs>=0) & p.ok)]
    f = fold_ids(p.ids, 2, seed, labels=p.targs)
    return p[f==0],p[f==1]

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('preds', nargs='+'), a.add_argument('--names', nargs='*'), a.add_argument('--json', default='abundance.json')
    a.add_argument('--samples', type=int, default=30), a.add_argument('--images', type=int, default=500), a.add_argument('--shifts', type=float, nargs='*', default=[0,.5,1,2])
    a = a.parse_args()
    names,runs,acc = a.names or [Path(o).stem for o in a.preds],[],{}
    for i,(k,f) in enumerate(zip(names, a.preds, strict=True)):
        valid,test = halves(Preds.load(f))
        acc[k] = dict(accuracy=(test.logits.argmax(1)==test.targs).mean(), fitted_on=len(valid), drawn_from=len(test), classes=len(valid.vocab))
        runs.append(try_quantifiers(valid, test, shifts=a.shifts, n=a.images, k=a.samples, seed=i).assign(net=k))
        all_ = pd.concat(runs, ignore_index=True)
        tables = {e:quantifier_table(all_, e).to_dict('records') for e in ('bray_curtis','relative_error')}
        write_json(dict(nets=acc, tables=tables, runs={c:all_[c].round(5).tolist() for c in all_}, settings=vars(a)|dict(preds=len(names)), versions=versions()), a.json)
        print(quantifier_table(all_).round(4).to_string(), flush=True)

if __name__=='__main__': main()
