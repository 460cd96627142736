"""Which rule names the classes best for macro-F1, on images it was not fitted on?

    python benchmarks/decision.py PREDS.parquet ... --json outputs/benchmarks/decision.json

Each PREDS is a table of predictions with labels (`Preds.save`) on images the net was not trained on. Its rows are cut in two stratified halves, --cuts times: rules are fitted on one and judged on the other.

    most probable  no rule
    tau            the logarithm of the shares, times a number from 0 to 1 that is best for macro-F1 on the labels (`zoofast.calibrate.fit_tau`)
    searched       a shift for each class, coordinate by coordinate, to the best macro-F1 on the labels; and half of that shift
    f1 rule        weight and limit of each class from the probabilities (`zoofast.f1rule`)
    f1 rule, on    the same, drawn anew for the images at hand, without their labels

The rule's form and its numbers of rounds were fixed on other images (validation part) of other nets before this was run. `fitted` is the macro-F1 on the half a rule was fitted on.
"""
import argparse, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, str(Path(__file__).parents[1]))
from zoofast.calibrate import adjust, apply_temperature, fit_tau, fit_temperature, halves
from zoofast.core import versions, write_json
from zoofast.f1rule import F1Rule, f1_of, fit_f1_rule
from zoofast.preds import Preds, log_softmax
from zoofast.train.metrics import scores

def searched(z, y, grid=np.linspace(-2, 2, 17)):
    "Shift of each class, the common ones first, each to the best macro-F1 of the labels given the others; of equals the smallest"
    n,c = z.shape
    eye,x,b = np.eye(c)[y],z.copy(),np.zeros(c)
    for k in np.argsort(-eye.sum(0), kind='stable'):
        other = x.copy()
        other[:,k] = -np.inf
        best,most = other.argmax(1),other.max(1)
        b[k] = max((f1_of(eye, np.where(z[:,k]+g>most, k, best)).mean()-1e-6*abs(g), g) for g in grid)[1]
        x[:,k] = z[:,k]+b[k]
    return b

def tried(p, seed):
    "A row a rule: macro-F1 and accuracy on the other half, macro-F1 on its own"
    a,b = halves(p, seed)
    t = fit_temperature(a)
    a,b = apply_temperature(a, t),apply_temperature(b, t)
    prior = np.bincount(a.targs, minlength=len(p.vocab))+.5
    tau = fit_tau(a, prior)
    shift = searched(log_softmax(a.logits.astype(float)), a.targs)
    move = lambda o, s: Preds(o.ids, o.vocab, o.logits+s, o.targs)
    rule = fit_f1_rule(p, seed)
    said = {'most probable':lambda o: o, 'tau':lambda o: adjust(o, prior, tau), 'searched':lambda o: move(o, shift), 'half of that':lambda o: move(o, shift/2),
            'f1 rule':lambda o: F1Rule(o.vocab, 1., rule.weight, rule.limit, 0)(o), 'f1 rule, on':lambda o: F1Rule(o.vocab, 1., rule.weight, rule.limit, 0).on(o)(o)}
    for k,f in said.items():
        s = scores(f(b))
        yield dict(rule=k, seed=seed, macro_f1=s['macro_f1'], accuracy=s['accuracy'], balanced_accuracy=s['balanced_accuracy'], fitted=scores(f(a))['macro_f1'],
                   warranted=rule.warranted if k=='f1 rule' else None)

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('preds', nargs='+'), a.add_argument('--names', nargs='*'), a.add_argument('--json', default='decision.json')
    a.add_argument('--cuts', type=int, default=3, help='halves to try (default 3)')
    a = a.parse_args()
    rows = []
    for k,f in zip(a.names or [Path(o).stem for o in a.preds], a.preds, strict=True):
        p = Preds.load(f)
        rows += [dict(net=k, **o) for s in range(a.cuts) for o in tried(p, s)]
        print(k, len(p), flush=True)
    t = pd.DataFrame(rows)
    base = t[t.rule=='most probable'].set_index(['net','seed'])
    t['diff'] = t.macro_f1-base.macro_f1.reindex(pd.MultiIndex.from_frame(t[['net','seed']])).to_numpy()
    g = t.groupby('rule', sort=False)
    s = g[['macro_f1','diff','accuracy','balanced_accuracy','fitted']].mean().assign(diff_sd=g['diff'].std(), wins=g['diff'].apply(lambda o: (o>0).mean()), warranted=g.warranted.mean()).reset_index()
    print(s.round(4).to_string(index=False))
    write_json(dict(versions=versions(), cuts=a.cuts, nets=list(t.net.unique()), images=len(p), rows=t.drop(columns='warranted').round(5).to_dict('records'), summary=s.round(5).to_dict('records')), a.json)

if __name__=='__main__': main()
