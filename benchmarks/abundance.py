"""How wrong are counts from a classifier when the shares of the taxa shift, and do corrections help or hurt?

    python benchmarks/abundance.py PREDS.parquet ... --json outputs/benchmarks/abundance.json

Each PREDS is a table of predictions with true labels (`Preds.save`) on images the network was not trained on; the name of a network is that of its file, or --names. Its rows are cut in two
stratified halves (by id, seed 42): on one the errors are measured, from the other artificial samples of --images images are drawn, --samples for each shift. Nothing is chosen by the
results: the methods have no setting but the strength of `shrunk`, which each sample chooses by its own likelihood, without labels. The JSON holds every sample of every network, the means, and the
paired comparisons with plain counting (sign flips, Holm over all methods and shifts).

Then, on the first --checked of these samples of each network and shift: do the bootstrap intervals hold what was expected in the water (`inside`, over the classes expected at least once), and what does `check_shift` say?
Last, the promises of `zoofast.sets` and `zoofast.thresholds`: fitted on one half and held against the other, for two cuts.
With --parts only some of this is done again.
"""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.core import read_json, versions, write_json
from zoofast.preds import Preds
from zoofast.science.abundance import abundance, check_shift
from zoofast.science.protocol import _shifted, artificial_sample, quantifier_table, try_quantifiers
from zoofast.science.quantify import fit_quantifier
from zoofast.sets import fit_sets
from zoofast.thresholds import fit_thresholds
from dataclasses import replace

def halves(p, seed=42):
    "As zoofast.calibrate.halves, without torch"
    from zoofast.core import fold_ids
    p = p[np.flatnonzero((p.targs>=0) & p.ok)]
    f = fold_ids(p.ids, 2, seed, labels=p.targs)
    return p[f==0],p[f==1]

def held(valid, test, shifts, n, k, seed):
    "Do intervals hold what was expected? What does the check say of each sample, and of the same one seen by a net that is less sure (logits x .6)?"
    rows,c = [],len(valid.vocab)
    have,q = np.bincount(test.targs, minlength=c),fit_quantifier(valid)
    for j,s in enumerate(shifts):
        for i in range(k):
            p,true = artificial_sample(test, s, n, [seed,j,i]),n*_shifted(have, s, np.random.default_rng([seed,j,i]))
            r = dict(shift=s, sample=i)
            for m in ('cc','shrunk'):
                t = abundance(p, replace(q, method=m), ['a']*n, n=40)
                ok = (t.n_lo<=true) & (true<=t.n_hi)
                r |= {f'inside_{m}':ok[true>=1].mean(), f'common_{m}':ok[true>=10].mean(), f'width_{m}':((t.n_hi-t.n_lo)/true)[true>=10].median()}
            w = check_shift(p, q, ['a']*n).iloc[0]
            blur = check_shift(replace(p, logits=p.logits*np.float32(.6)), q, ['a']*n).iloc[0]
            rows.append(r|dict(p_shift=w.p_shift, p_fit=w.p_fit, rests_on=w.rests_on, p_fit_unsure=blur.p_fit, rests_on_unsure=blur.rests_on))
    return pd.DataFrame(rows)

def promises(p, k=2):
    "Sets and thresholds: promised and seen"
    rows = []
    for seed in range(k):
        valid,test = halves(p, seed)
        for kind in ('lac','aps'):
            for cov in (.9,.95):
                for g,few in ((None,0),('class',0),('class',20)):
                    s = fit_sets(valid, cov, kind, g, few)
                    r,by = s.score(test).iloc[0],s.score(test, 'class')
                    rows.append(dict(what='sets', seed=seed, kind=kind, promised=cov, groups=f'{g}, at least {few}' if few else g or 'all', seen=r.covered, size=r['size'], single=r.single,
                                     class_mean=by.covered.mean(), classes_short=(by.hi<cov).mean(), open=(s.table.note=='').sum()))
        for w in (.8,.9,.95):
            s = fit_thresholds(valid, w)
            t = s.score(test)
            rows.append(dict(what='thresholds', seed=seed, promised=w, seen=t.right[0], named=t.named[0]/len(test), classes_short=(t.hi[1:]<w).sum(), open=s.table.threshold.notna().sum()))
    return pd.DataFrame(rows)

PARTS = ('runs','checks','promises')

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('preds', nargs='+'), a.add_argument('--names', nargs='*'), a.add_argument('--json', default='abundance.json')
    a.add_argument('--samples', type=int, default=30), a.add_argument('--images', type=int, default=500), a.add_argument('--checked', type=int, default=4)
    a.add_argument('--shifts', type=float, nargs='*', default=[0,.5,1,2])
    a.add_argument('--parts', nargs='*', default=list(PARTS), choices=PARTS, help='what to do; the others stay as they are in the JSON')
    a = a.parse_args()
    names = a.names or [Path(o).stem for o in a.preds]
    old = read_json(a.json) if Path(a.json).exists() else {}
    kw,res,done = dict(shifts=a.shifts, n=a.images),dict(nets={}),{o:[] for o in a.parts}
    for i,(k,f) in enumerate(zip(names, a.preds, strict=True)):
        p = Preds.load(f)
        valid,test = halves(p)
        res['nets'][k] = dict(accuracy=(test.logits.argmax(1)==test.targs).mean(), fitted_on=len(valid), drawn_from=len(test), classes=len(valid.vocab))
        for o in a.parts:
            t = promises(p) if o=='promises' else held(valid, test, k=a.checked, seed=i, **kw) if o=='checks' else try_quantifiers(valid, test, k=a.samples, seed=i, **kw)
            done[o].append(t.assign(net=k))
            t = pd.concat(done[o], ignore_index=True)
            res[o] = {c:[None if v!=v else v for v in t[c].tolist()] for c in t.round(5)}
            by = dict(runs=['shift','method'], checks=['shift'], promises=['what','kind','groups','promised'])[o]
            print(k, t.groupby(by, dropna=False).mean(numeric_only=True).round(3).to_string(), flush=True)
            if o=='runs': res['tables'] = {e:quantifier_table(t, e).to_dict('records') for e in ('bray_curtis','relative_error')}
    settings = {k:v for k,v in vars(a).items() if k not in ('preds','parts')}
    write_json(old|res|dict(settings=old.get('settings', {})|settings, versions=versions()), a.json)

if __name__=='__main__': main()
